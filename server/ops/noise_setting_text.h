// Settings below `noise.` as people write them. docs/operating/noise.md lists every key.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "protocol/noise/suite.h"

namespace valkyrie::server {

// What the node's noise:// doors are told. Empty paths: not set.
struct NoiseSettings {
  std::string keys{};      // Who may come in, and by which name; without it whoever has a key.
  std::string psk{};       // A secret that clients have to know as well, closed to other users.
  bool require_pq = true;  // Only hybrid suites are taken.
  protocol::noise::Cipher cipher = protocol::noise::Cipher::aes_gcm;  // Picked where both can.

  bool operator==(const NoiseSettings&) const = default;
};

// Applies `path` = `value`, where `path` begins behind `noise.`. The error, for people, names the
// key and what is wrong.
[[nodiscard]] std::expected<void, std::string> apply_noise_setting(std::string_view path,
                                                                   std::string_view value,
                                                                   NoiseSettings& settings);

// Whether the settings make sense together. The error, for people, says what is missing.
[[nodiscard]] std::expected<void, std::string> check_noise_settings(const NoiseSettings& settings,
                                                                    bool has_door);

}  // namespace valkyrie::server
