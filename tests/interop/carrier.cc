#include "tests/interop/carrier.h"

#include <atomic>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/assert.h"
#include "transport/address.h"

namespace valkyrie::interop {

using server::testing::dial;
using server::testing::Process;
using transport::Socket;

Inside::Inside() {
  static std::atomic<int> next{0};
  url_ = fmt::format("unix:@valkyrie-interop-{}-{}", ::getpid(), next.fetch_add(1));
  const auto address = transport::parse_address(url_);
  VALKYRIE_ASSERT(address.has_value());
  const auto resolved = transport::resolve(*address);
  VALKYRIE_ASSERT(resolved.has_value());
  const transport::SocketAddress& at = resolved->front();
  listener_ = Socket(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  VALKYRIE_ASSERT(::bind(listener_.fd(), at.get(), at.size) == 0);
  VALKYRIE_ASSERT(::listen(listener_.fd(), 1) == 0);
}

Socket Inside::accept() const {
  return Socket(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
}

namespace {

server::testing::ProcessOptions between(const Socket& node, const Socket& inside) {
  VALKYRIE_ASSERT(bool(node) && bool(inside));
  return {.in_fd = node.fd(), .out_fd = inside.fd()};
}

}  // namespace

CarriedClient::CarriedClient(transport::Reactor& reactor, std::string_view node_url,
                             const std::string& its_program,
                             const std::vector<std::string>& arguments)
    : session(reactor, inside_.url()),
      program(its_program, arguments, between(dial(node_url), inside_.accept())) {}

std::string door_of(const server::testing::RunningNode& node, std::string_view scheme) {
  const std::size_t begin = node.doors.find(fmt::format("\"{}://", scheme));
  if (begin == std::string::npos) return {};
  return node.doors.substr(begin + 1, node.doors.find('"', begin + 1) - begin - 1);
}

}  // namespace valkyrie::interop
