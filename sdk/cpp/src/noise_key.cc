#include "sdk/cpp/src/noise_key.h"

#include <array>

#include "protocol/noise/channel.h"
#include "protocol/noise/key_text.h"
#include "transport/text_file.h"

namespace valkyrie::detail {

namespace noise = protocol::noise;

namespace {

// With a key at hand nothing but XK makes sense, and nothing but hybrid suites is offered: who
// records the bytes shall not read them when X25519 is broken.
constexpr std::array kSuites = {noise::Suite::xk_mlkem_aes_gcm, noise::Suite::xk_mlkem_chacha_poly};

}  // namespace

NoiseKey::NoiseKey() { noise::make_key(noise::system_entropy(), key_); }

Result<void> NoiseKey::read(const std::string& path) {
  const auto text = transport::read_secret_file(path);
  if (!text) return fail(StatusCode::invalid_argument, text.error(), Outcome::not_executed);
  if (!noise::read_key(text->substr(0, text->find('\n')), key_)) {
    return fail(StatusCode::invalid_argument,
                path + ": this is no key: write its 64 hexadecimal digits on the first line",
                Outcome::not_executed);
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
