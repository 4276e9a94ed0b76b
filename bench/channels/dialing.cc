#include "bench/channels/dialing.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <fmt/format.h>

#include "bench/channels/pair.h"
#include "protocol/noise/channel.h"
#include "protocol/noise/key_text.h"

namespace valkyrie::bench {

namespace noise = protocol::noise;
namespace tls = protocol::tls;

ChannelDialer::ChannelDialer() { noise::make_key(noise::system_entropy(), key_); }

std::expected<std::unique_ptr<ChannelDialer>, std::string> ChannelDialer::make(
    std::string_view word) {
  std::unique_ptr<ChannelDialer> made(new ChannelDialer);
  const std::string_view rest = word.substr(std::min(word.find(':') + 1, word.size()));
  if (word.starts_with("noise:")) {
    made->node_ = noise::public_key_of(rest);
    if (!made->node_) return std::unexpected("--channel: noise: goes before 64 digits");
    return made;
  }
  if (!word.starts_with("tls:")) return made;
  const auto files = read_certificates(std::string(rest));
  if (!files) return std::unexpected(files.error());
  auto dialer = tls::Dialer::make(
      {.roots = files->authority, .own = files->client, .require_pq = true, .clock = [] {
         return std::int64_t{std::time(nullptr)};
       }});
  if (!dialer) return std::unexpected(dialer.error());
  made->tls_ = std::move(*dialer);
  return made;
}

std::unique_ptr<protocol::Channel> ChannelDialer::dial() {
  // Sessions are kept by name.
  if (tls_ != nullptr) return tls_->dial(fmt::format("n{}.bench.test", dialed_++));
  if (!node_) return nullptr;
  static constexpr std::array kSuites = {noise::Suite::xk_mlkem_aes_gcm};
  return std::make_unique<noise::Channel>(
      noise::ChannelConfig{.role = noise::HandshakeRole::initiator,
                           .suites = kSuites,
                           .key = key_,
                           .peer = node_,
                           .entropy = noise::system_entropy()});
}

}  // namespace valkyrie::bench
