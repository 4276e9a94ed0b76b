// Makes the dialer's side of TLS channels.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/channel.h"
#include "protocol/tls/config.h"

struct ssl_session_st;

namespace valkyrie::protocol::tls {

class Context;

// Whom a client trusts and what it shows. Keeps one session for each name, so that dialing again is
// cheaper. One thread; lives longer than its channels.
class Dialer {
 public:
  // Errors, for people and without a secret: which text is unusable, and why.
  [[nodiscard]] static std::expected<std::unique_ptr<Dialer>, std::string> make(
      const DialerConfig& config);
  ~Dialer();
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

  // A channel to the peer whose certificate is for `server`: a DNS name, or the literal of an IP
  // address. REQUIRES: it is not empty.
  [[nodiscard]] std::unique_ptr<protocol::Channel> dial(std::string_view server);

 private:
  class Place;

  explicit Dialer(std::shared_ptr<const Context> context);

  std::shared_ptr<const Context> context_;
  std::map<std::string, std::unique_ptr<Place>, std::less<>> places_;
};

}  // namespace valkyrie::protocol::tls
