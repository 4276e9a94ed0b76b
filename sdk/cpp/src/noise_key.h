// The key by which nodes know this client on Noise channels. Private to this folder.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/channel.h"
#include "protocol/noise/primitives.h"
#include "valkyrie/status.h"

namespace valkyrie::detail {

// A key from a file, or one of this client alone. Lives longer than the channels it makes.
class NoiseKey {
 public:
  // A new key.
  NoiseKey();

  // Takes the key that a file holds: 64 hexadecimal digits. The error is invalid_argument: the file
  // cannot be read, other users may read it, or it holds no key.
  [[nodiscard]] Result<void> read(const std::string& path);
  // Takes the secret that nodes ask for beside the key, of a file like that one. Errors as of
  // read().
  [[nodiscard]] Result<void> read_psk(const std::string& path);
  // The dialer's side of a channel to the node with this public key, 64 digits.
  [[nodiscard]] std::unique_ptr<protocol::Channel> dial(std::string_view node) const;

 private:
  protocol::noise::KeyPair key_;
  std::optional<protocol::noise::SecretKey> psk_;
};

}  // namespace valkyrie::detail
