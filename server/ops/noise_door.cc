#include "server/ops/noise_door.h"

#include <algorithm>
#include <iterator>

namespace valkyrie::server {

namespace noise = protocol::noise;

NoiseDoor::NoiseDoor() {
  std::ranges::copy_if(noise::kSuites, std::back_inserter(suites_), noise::is_hybrid);
  noise::make_key(noise::system_entropy(), key_);
}

NoiseDoor::NoiseDoor(std::string_view secret_text, bool& valid) : NoiseDoor() {
  valid = noise::read_key(secret_text, key_);
}

std::unique_ptr<protocol::Channel> NoiseDoor::accept_noise() {
  return std::make_unique<noise::Channel>(
      noise::ChannelConfig{.role = noise::HandshakeRole::responder,
                           .suites = suites_,
                           .key = key_,
                           .entropy = noise::system_entropy()});
}

std::string NoiseDoor::public_key() const { return noise::key_text(key_.shared); }

std::string NoiseDoor::secret_key() const { return noise::key_text(key_.secret); }

}  // namespace valkyrie::server
