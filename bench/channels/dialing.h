// Channels of load programs to a running node.
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/channel.h"
#include "protocol/noise/primitives.h"
#include "protocol/tls/dialer.h"

namespace valkyrie::bench {

// Dials as the SDK does, but never goes on with a TLS session: each handshake is a whole one.
class ChannelDialer {
 public:
  // `word` is what follows --channel: "none", "noise:" and the node's public key, or "tls:" and a
  // folder of certificates as read_certificates() takes it, the node's being for *.bench.test. The
  // error is one line for the user.
  [[nodiscard]] static std::expected<std::unique_ptr<ChannelDialer>, std::string> make(
      std::string_view word);

  // The dialer's side of a new channel; nullptr for none.
  [[nodiscard]] std::unique_ptr<protocol::Channel> dial();

 private:
  ChannelDialer();

  protocol::noise::KeyPair key_;
  std::optional<protocol::noise::PublicKey> node_;
  std::unique_ptr<protocol::tls::Dialer> tls_;
  std::size_t dialed_ = 0;
};

}  // namespace valkyrie::bench
