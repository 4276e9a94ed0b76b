// One configuration of BoringSSL, shared by channels.
// Private to this folder.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <openssl/ssl.h>
#include <string>
#include <string_view>

#include "protocol/channel.h"
#include "protocol/tls/config.h"

namespace valkyrie::protocol::tls {

// The protocol inside of the channel, as ALPN names it.
inline constexpr std::string_view kProtocol = "valkyrie/2";

// What channels are made from. Immutable, so any thread may use it.
class Context {
 public:
  // Errors, for people and without a secret: which text is unusable, and why.
  [[nodiscard]] static std::expected<std::shared_ptr<const Context>, std::string> make(
      const AcceptorConfig& config);
  [[nodiscard]] static std::expected<std::shared_ptr<const Context>, std::string> make(
      const DialerConfig& config);

  // A new connection of this configuration. A dialer's `server` is the name or the literal address
  // that the peer's certificate must be for.
  [[nodiscard]] bssl::UniquePtr<SSL> connection(std::string_view server) const;
  // Checks the chain of a peer that resumed a session: it was good when that began. Whose it is
  // stays as it was then, for a dialer because sessions are kept by name.
  [[nodiscard]] std::expected<void, ChannelError> check_again(const SSL& ssl) const;

  // Whether only the hybrid key exchange is taken.
  [[nodiscard]] bool require_pq() const { return require_pq_; }
  // Where a dialer's channels put the sessions that they may resume: the callback is given each.
  void on_session(int (*callback)(SSL*, SSL_SESSION*)) const;

 private:
  Context(bool acceptor, UnixClock clock, bool require_pq);

  [[nodiscard]] std::expected<void, std::string> take_own(const Credentials& own);
  [[nodiscard]] std::expected<void, std::string> take_trust(const std::string& roots,
                                                            const std::string& revoked);
  void expect(X509_VERIFY_PARAM& parameters, std::string_view server) const;

  bssl::UniquePtr<SSL_CTX> ssl_;
  const bool acceptor_;
  const bool require_pq_;
  const UnixClock clock_;
};

}  // namespace valkyrie::protocol::tls
