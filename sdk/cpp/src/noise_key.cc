#include "sdk/cpp/src/noise_key.h"

#include <array>
#include <utility>

#include "protocol/noise/channel.h"
#include "protocol/noise/key_text.h"
#include "transport/text_file.h"

namespace valkyrie::detail {

namespace noise = protocol::noise;

namespace {

// With a key at hand nothing but XK makes sense, and nothing but hybrid suites is offered: who
// records the bytes shall not read them when X25519 is broken.
constexpr std::array kSuites = {noise::Suite::xk_mlkem_aes_gcm, noise::Suite::xk_mlkem_chacha_poly};

std::unexpected<Status> refuse(std::string message) {
  return fail(StatusCode::invalid_argument, std::move(message), Outcome::not_executed);
}

Result<std::string> first_line_of(const std::string& path) {
  auto text = transport::read_secret_file(path);
  if (!text) return refuse(std::move(text.error()));
  return text->substr(0, text->find('\n'));
}

}  // namespace

NoiseKey::NoiseKey() { noise::make_key(noise::system_entropy(), key_); }

Result<void> NoiseKey::read(const std::string& path) {
  const auto line = first_line_of(path);
  if (!line) return std::unexpected(line.error());
  if (noise::read_key(*line, key_)) return {};
  return refuse(path + ": this is no key: write its 64 hexadecimal digits on the first line");
}

Result<void> NoiseKey::read_psk(const std::string& path) {
  const auto line = first_line_of(path);
  if (!line) return std::unexpected(line.error());
  if (noise::read_secret(*line, psk_.emplace())) return {};
  return refuse(path + ": this is no psk: write its 64 hexadecimal digits on the first line");
}

std::unique_ptr<protocol::Channel> NoiseKey::dial(std::string_view node) const {
  return std::make_unique<noise::Channel>(
      noise::ChannelConfig{.role = noise::HandshakeRole::initiator,
                           .suites = kSuites,
                           .key = key_,
                           .peer = noise::public_key_of(node),
                           .psk = psk_ ? noise::Bytes(psk_->bytes()) : noise::Bytes(),
                           .entropy = noise::system_entropy()});
}

}  // namespace valkyrie::detail
