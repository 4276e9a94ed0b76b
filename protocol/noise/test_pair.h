// Two Noise channels with a pipe between them. Private to this folder.
#pragma once

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/noise/channel.h"
#include "protocol/noise/test_entropy.h"

namespace valkyrie::protocol::noise {

// What a channel has opened.
class Collector final : public PlainSink {
 public:
  void on_plain(std::span<std::byte> text) override {
    text_.insert(text_.end(), text.begin(), text.end());
    ++records_;
  }
  [[nodiscard]] std::string text() const {
    return {reinterpret_cast<const char*>(text_.data()), text_.size()};
  }
  [[nodiscard]] std::size_t records() const { return records_; }

 private:
  std::vector<std::byte> text_;
  std::size_t records_ = 0;
};

// A dialer and an acceptor with a pipe between them.
class Pair {
 public:
  struct Options {
    std::vector<Suite> dialer{Suite::xx_mlkem_aes_gcm};
    std::vector<Suite> acceptor{kSuites.begin(), kSuites.end()};
    Bytes dialer_psk{};
    Bytes acceptor_psk{};
    bool wrong_pin = false;
    Entropy* acceptor_entropy = nullptr;  // Instead of the common one.
  };

  explicit Pair(const Options& options) {
    set_key(dialer_key_, 'd');
    set_key(acceptor_key_, 'a');
    const bool pinned = pattern_of(options.dialer.front()) == Pattern::xk;
    std::optional<PublicKey> pin;
    if (pinned) pin = options.wrong_pin ? dialer_key_.shared : acceptor_key_.shared;
    dialer_.emplace(ChannelConfig{.role = HandshakeRole::initiator,
                                  .suites = options.dialer,
                                  .key = dialer_key_,
                                  .peer = pin,
                                  .psk = options.dialer_psk,
                                  .entropy = entropy_});
    acceptor_.emplace(ChannelConfig{
        .role = HandshakeRole::responder,
        .suites = options.acceptor,
        .key = acceptor_key_,
        .psk = options.acceptor_psk,
        .entropy = options.acceptor_entropy != nullptr ? *options.acceptor_entropy : entropy_});
  }

  // Carries what both have to say, `step` bytes at a time, until nobody has any or one fails.
  std::optional<ChannelError> carry(std::size_t step = 100000) {
    for (;;) {
      from_dialer_.take(*dialer_);
      from_acceptor_.take(*acceptor_);
      if (from_dialer_.empty() && from_acceptor_.empty()) return std::nullopt;
      if (const auto failed = to_acceptor(step)) return failed;
      if (const auto failed = to_dialer(step)) return failed;
    }
  }
  std::optional<ChannelError> to_acceptor(std::size_t step = 100000) {
    return move(from_dialer(), *acceptor_, at_acceptor_, step);
  }
  std::optional<ChannelError> to_dialer(std::size_t step = 100000) {
    return move(from_acceptor(), *dialer_, at_dialer_, step);
  }

  // Bytes on their way.
  std::vector<std::byte>& from_dialer() { return from_dialer_.take(*dialer_); }
  std::vector<std::byte>& from_acceptor() { return from_acceptor_.take(*acceptor_); }

  static std::optional<ChannelError> move(std::vector<std::byte>& way, Channel& to, Collector& sink,
                                          std::size_t step) {
    std::vector<std::byte> bytes;
    bytes.swap(way);
    for (std::size_t i = 0; i < bytes.size(); i += step) {
      const std::size_t size = std::min(step, bytes.size() - i);
      if (const auto taken = to.receive(std::span(bytes).subspan(i, size), sink); !taken) {
        return taken.error();
      }
    }
    return std::nullopt;
  }

  void seal_at_dialer(std::string_view text) { seal(*dialer_, text, from_dialer()); }
  void seal_at_acceptor(std::string_view text) { seal(*acceptor_, text, from_acceptor()); }

  TestEntropy entropy_;
  KeyPair dialer_key_;
  KeyPair acceptor_key_;
  std::optional<Channel> dialer_;
  std::optional<Channel> acceptor_;
  Collector at_dialer_;
  Collector at_acceptor_;

 private:
  // A way with bytes on it, those of the handshake first.
  struct Way {
    std::vector<std::byte>& take(Channel& channel) {
      const std::vector<std::byte> output = channel.take_output();
      bytes.insert(bytes.end(), output.begin(), output.end());
      return bytes;
    }
    [[nodiscard]] bool empty() const { return bytes.empty(); }
    std::vector<std::byte> bytes;
  };

  static void seal(Channel& channel, std::string_view text, std::vector<std::byte>& way) {
    const std::array pieces = {std::as_bytes(std::span(text))};
    ASSERT_TRUE(channel.seal(pieces, way).has_value());
  }

  Way from_dialer_;
  Way from_acceptor_;

  static void set_key(KeyPair& key, char letter) {
    const SecretKey secret(sha256(std::as_bytes(std::span(&letter, 1))));
    key.set_secret(secret.bytes());
  }
};

}  // namespace valkyrie::protocol::noise
