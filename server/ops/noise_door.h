// What a node is to peers that come through Noise: its key, and the suites it takes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/channel.h"
#include "protocol/noise/channel.h"
#include "protocol/noise/key_text.h"

namespace valkyrie::server {

// Makes the acceptor's side of each channel. Only hybrid suites are taken: others are told
// pq_required. Any thread; lives longer than its channels.
class NoiseDoor final : public protocol::ChannelSource {
 public:
  // With a new key.
  NoiseDoor();
  // With the key of this text; `valid` says whether it was one.
  explicit NoiseDoor(std::string_view secret_text, bool& valid);

  [[nodiscard]] std::unique_ptr<protocol::Channel> accept_noise() override;
  [[nodiscard]] bool allows_plain() const override { return false; }
  // The key that dialers pin, as text.
  [[nodiscard]] std::string public_key() const;
  // The secret, as text: for its file.
  [[nodiscard]] std::string secret_key() const;

 private:
  std::vector<protocol::noise::Suite> suites_;
  protocol::noise::KeyPair key_;
};

}  // namespace valkyrie::server
