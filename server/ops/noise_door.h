// What a node is to peers that come through Noise: its key, the suites it takes, and whose keys.
#pragma once

#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/channel.h"
#include "protocol/noise/channel.h"
#include "protocol/noise/key_text.h"
#include "server/ops/noise_setting_text.h"
#include "server/policy/noise_keys.h"

namespace valkyrie::server {

// Makes the acceptor's side of each channel, and knows the names of peers. Any thread, but for
// take_key(); lives longer than its channels.
class NoiseDoor final : public protocol::ChannelSource {
 public:
  // With a new key. No channel is accepted, and nobody known, before reload().
  explicit NoiseDoor(NoiseSettings settings);

  // Takes the key of this text for its own; false if it is none. REQUIRES: no channel yet
  [[nodiscard]] bool take_key(std::string_view secret_text);
  // Reads the files of its settings, for channels from now on; those that are stay. Errors, for
  // people: which file is unusable, and why; then nothing changes.
  [[nodiscard]] std::expected<void, std::string> reload();

  [[nodiscard]] std::unique_ptr<protocol::Channel> accept_noise() override;
  [[nodiscard]] bool allows_plain() const override { return false; }

  // What the peer with this subject, "key:" and its digits, is called: its name on the list, the
  // subject where there is no list, nullopt if it is not on it.
  [[nodiscard]] std::optional<std::string> name_of(std::string_view subject) const;
  // The key that dialers pin, as text.
  [[nodiscard]] std::string public_key() const;
  // The secret, as text: for its file.
  [[nodiscard]] std::string secret_key() const;

 private:
  // What the files say.
  struct Files {
    std::optional<policy::NoiseKeys> keys{};
    std::optional<protocol::noise::SecretKey> psk{};
  };

  [[nodiscard]] std::shared_ptr<const Files> files() const;

  const NoiseSettings settings_;
  std::vector<protocol::noise::Suite> suites_;  // Best first.
  protocol::noise::KeyPair key_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Files> files_;  // Guarded by mutex_.
};

}  // namespace valkyrie::server
