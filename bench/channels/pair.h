// Both sides of channels of ours in one process, with nothing between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/channel.h"
#include "protocol/noise/primitives.h"
#include "protocol/noise/suite.h"
#include "protocol/tls/acceptor.h"
#include "protocol/tls/dialer.h"

namespace valkyrie::bench {

// What is measured.
enum class Suite : std::uint8_t { noise_aes, noise_chacha, tls };

// The suite of a word: noise-aes, noise-chacha or tls.
[[nodiscard]] std::optional<Suite> suite_of(std::string_view word);

// PEM texts: an authority, and what it made for a node called localhost and for a client.
struct Certificates {
  std::string authority;
  protocol::tls::Credentials node;
  protocol::tls::Credentials client;
};

// Reads ca.crt, node.crt, node.key, client.crt and client.key. The error is one line for the user.
[[nodiscard]] std::expected<Certificates, std::string> read_certificates(const std::string& folder);

// Takes what is opened and keeps its size.
class Counter final : public protocol::PlainSink {
 public:
  void on_plain(std::span<std::byte> text) override { bytes += text.size(); }
  std::size_t bytes = 0;
};

// Two sides, open.
struct Pair {
  std::unique_ptr<protocol::Channel> dialer;
  std::unique_ptr<protocol::Channel> acceptor;
};

// Makes pairs by hybrid handshakes with both sides known: XX of Noise, certificates of TLS.
class PairSource {
 public:
  // The error is one line for the user.
  [[nodiscard]] static std::expected<std::unique_ptr<PairSource>, std::string> make(
      Suite suite, const Certificates& certificates);

  // A pair, after a whole handshake; nothing if that failed. No session is resumed.
  [[nodiscard]] std::optional<Pair> shake_hands();

 private:
  explicit PairSource(Suite suite);

  [[nodiscard]] Pair begin();

  const bool noise_;
  protocol::noise::Suite suite_;
  protocol::noise::KeyPair dialer_key_;
  protocol::noise::KeyPair acceptor_key_;
  std::unique_ptr<protocol::tls::Acceptor> acceptor_;
  std::unique_ptr<protocol::tls::Dialer> dialer_;
};

}  // namespace valkyrie::bench
