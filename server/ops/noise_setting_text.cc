#include "server/ops/noise_setting_text.h"

#include <fmt/format.h>

namespace valkyrie::server {
namespace {

using Applied = std::expected<void, std::string>;

std::unexpected<std::string> wrong(std::string_view path, std::string_view why) {
  return std::unexpected(fmt::format("noise.{}: {}", path, why));
}

Applied apply_file(std::string_view path, std::string_view value, std::string& file) {
  if (value.empty()) return wrong(path, "the file's path is missing");
  file = value;
  return {};
}

}  // namespace

Applied apply_noise_setting(std::string_view path, std::string_view value,
                            NoiseSettings& settings) {
  if (path == "keys") return apply_file(path, value, settings.keys);
  if (path == "psk") return apply_file(path, value, settings.psk);
  if (path == "require_pq") {
    if (value != "true" && value != "false") return wrong(path, "it is true or false");
    settings.require_pq = value == "true";
    return {};
  }
  if (path == "cipher") {
    if (value != "aes_gcm" && value != "chacha_poly") {
      return wrong(path, "it is aes_gcm or chacha_poly");
    }
    settings.cipher = value == "aes_gcm" ? protocol::noise::Cipher::aes_gcm
                                         : protocol::noise::Cipher::chacha_poly;
    return {};
  }
  return wrong(path, "there is no such setting; known are keys, psk, require_pq and cipher");
}

Applied check_noise_settings(const NoiseSettings& settings, bool has_door) {
  if (!has_door) {
    if (settings == NoiseSettings{}) return {};
    return std::unexpected(
        "noise.*: the node has no door that speaks Noise; add --listen noise://HOST");
  }
  if (!settings.psk.empty() && !settings.require_pq) {
    return std::unexpected(
        "noise.psk goes into hybrid suites alone: with noise.require_pq=false whoever offers "
        "another would not have to know it");
  }
  return {};
}

}  // namespace valkyrie::server
