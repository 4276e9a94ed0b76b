#include "sdk/cpp/src/noise_key.h"

#include <array>
#include <fmt/format.h>
#include <fstream>
#include <sys/stat.h>

#include "protocol/noise/channel.h"
#include "protocol/noise/key_text.h"

namespace valkyrie::detail {

namespace noise = protocol::noise;

namespace {

// With a key at hand nothing but XK makes sense, and nothing but hybrid suites is offered: who
// records the bytes shall not read them when X25519 is broken.
constexpr std::array kSuites = {noise::Suite::xk_mlkem_aes_gcm, noise::Suite::xk_mlkem_chacha_poly};

std::unexpected<Status> bad_file(const std::string& path, std::string_view why) {
  return fail(StatusCode::invalid_argument, fmt::format("{}: {}", path, why),
              Outcome::not_executed);
}

}  // namespace

NoiseKey::NoiseKey() { noise::make_key(noise::system_entropy(), key_); }

Result<void> NoiseKey::read(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0 && (status.st_mode & 0077U) != 0) {
    return bad_file(path, "other users may read this secret; chmod 600 it");
  }
  std::ifstream file(path);
  std::string text;
  if (!std::getline(file, text)) return bad_file(path, "the key cannot be read");
  if (!noise::read_key(text, key_)) {
    return bad_file(path, "this is no key: write its 64 hexadecimal digits on the first line");
  }
  return {};
}

std::unique_ptr<protocol::Channel> NoiseKey::dial(std::string_view node) const {
  return std::make_unique<noise::Channel>(
      noise::ChannelConfig{.role = noise::HandshakeRole::initiator,
                           .suites = kSuites,
                           .key = key_,
                           .peer = noise::public_key_of(node),
                           .entropy = noise::system_entropy()});
}

}  // namespace valkyrie::detail
