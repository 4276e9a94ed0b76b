#include "protocol/tls/dialer.h"

#include <openssl/ssl.h>
#include <utility>

#include "protocol/assert.h"
#include "protocol/tls/channel.h"
#include "protocol/tls/context.h"

namespace valkyrie::protocol::tls {
namespace {

int take_session(SSL* ssl, SSL_SESSION* session) {
  static_cast<Channel*>(SSL_get_app_data(ssl))->on_session(session);
  return 1;  // It is ours now.
}

}  // namespace

// A name, with the session that goes on there next.
class Dialer::Place final : public SessionKeeper {
 public:
  void keep(ssl_session_st* session) override { session_.reset(session); }
  // Each is used once, so that nobody who listens can tell that it is the same client.
  [[nodiscard]] bssl::UniquePtr<SSL_SESSION> take() { return std::move(session_); }

 private:
  bssl::UniquePtr<SSL_SESSION> session_;
};

Dialer::Dialer(std::shared_ptr<const Context> context) : context_(std::move(context)) {
  context_->on_session(take_session);
}

Dialer::~Dialer() = default;

std::expected<std::unique_ptr<Dialer>, std::string> Dialer::make(const DialerConfig& config) {
  auto context = Context::make(config);
  if (!context) return std::unexpected(std::move(context.error()));
  return std::unique_ptr<Dialer>(new Dialer(std::move(*context)));
}

std::unique_ptr<protocol::Channel> Dialer::dial(std::string_view server) {
  VALKYRIE_ASSERT(!server.empty());
  auto place = places_.find(server);
  if (place == places_.end()) {
    place = places_.emplace(server, std::make_unique<Place>()).first;
  }
  const auto session = place->second->take();
  return std::make_unique<Channel>(context_, server, session.get(), *place->second);
}

}  // namespace valkyrie::protocol::tls
