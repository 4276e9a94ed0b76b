#include "protocol/tls/acceptor.h"

#include <utility>

#include "protocol/tls/channel.h"
#include "protocol/tls/context.h"

namespace valkyrie::protocol::tls {

Acceptor::Acceptor(std::shared_ptr<const Context> context) : context_(std::move(context)) {}

std::expected<std::unique_ptr<Acceptor>, std::string> Acceptor::make(const AcceptorConfig& config) {
  auto context = Context::make(config);
  if (!context) return std::unexpected(std::move(context.error()));
  return std::unique_ptr<Acceptor>(new Acceptor(std::move(*context)));
}

std::unique_ptr<protocol::Channel> Acceptor::accept() const {
  return std::make_unique<Channel>(context_);
}

}  // namespace valkyrie::protocol::tls
