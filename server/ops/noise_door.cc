#include "server/ops/noise_door.h"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <iterator>
#include <tuple>
#include <utility>

#include "protocol/assert.h"
#include "transport/text_file.h"

namespace valkyrie::server {

namespace noise = protocol::noise;

namespace {

using Read = std::expected<void, std::string>;

Read read_keys(const std::string& path, std::optional<policy::NoiseKeys>& keys) {
  if (path.empty()) return {};
  const auto text = transport::read_text_file(path);
  if (!text) return std::unexpected(text.error());
  auto read = policy::NoiseKeys::parse(*text);
  if (!read) return std::unexpected(fmt::format("{}: {}", path, read.error()));
  keys = *std::move(read);
  return {};
}

Read read_psk(const std::string& path, std::optional<noise::SecretKey>& psk) {
  if (path.empty()) return {};
  const auto text = transport::read_secret_file(path);
  if (!text) return std::unexpected(text.error());
  if (noise::read_secret(text->substr(0, text->find('\n')), psk.emplace())) return {};
  return std::unexpected(
      fmt::format("{}: this is no psk: write its 64 hexadecimal digits on the first line", path));
}

}  // namespace

// The KEM goes before the cipher: a preference never costs the secrecy of what passes.
NoiseDoor::NoiseDoor(NoiseSettings settings) : settings_(std::move(settings)) {
  const auto taken = [this](noise::Suite suite) {
    return !settings_.require_pq || noise::is_hybrid(suite);
  };
  std::ranges::copy_if(noise::kSuites, std::back_inserter(suites_), taken);
  std::ranges::sort(suites_, std::less(), [this](noise::Suite suite) {
    return std::tuple(!noise::is_hybrid(suite), noise::cipher_of(suite) != settings_.cipher, suite);
  });
  noise::make_key(noise::system_entropy(), key_);
}

bool NoiseDoor::take_key(std::string_view secret_text) {
  return noise::read_key(secret_text, key_);
}

std::expected<void, std::string> NoiseDoor::reload() {
  auto fresh = std::make_shared<Files>();
  auto read = read_keys(settings_.keys, fresh->keys);
  if (read) read = read_psk(settings_.psk, fresh->psk);
  if (!read) return std::unexpected("Noise: " + read.error());
  const std::lock_guard lock(mutex_);
  files_ = std::move(fresh);
  return {};
}

std::shared_ptr<const NoiseDoor::Files> NoiseDoor::files() const {
  const std::lock_guard lock(mutex_);
  VALKYRIE_ASSERT(files_ != nullptr);
  return files_;
}

std::unique_ptr<protocol::Channel> NoiseDoor::accept_noise() {
  const auto files = this->files();
  return std::make_unique<noise::Channel>(
      noise::ChannelConfig{.role = noise::HandshakeRole::responder,
                           .suites = suites_,
                           .key = key_,
                           .psk = files->psk ? noise::Bytes(files->psk->bytes()) : noise::Bytes(),
                           .entropy = noise::system_entropy()});
}

std::optional<std::string> NoiseDoor::name_of(std::string_view subject) const {
  const auto files = this->files();
  if (!files->keys) return std::string(subject);
  const std::size_t colon = subject.find(':');
  const auto name = files->keys->name_of(subject.substr(std::min(colon, subject.size() - 1) + 1));
  if (!name) return std::nullopt;
  return std::string(*name);
}

std::string NoiseDoor::public_key() const { return noise::key_text(key_.shared); }

std::string NoiseDoor::secret_key() const { return noise::key_text(key_.secret); }

}  // namespace valkyrie::server
