#include "bench/channels/pair.h"

#include <array>
#include <ctime>

#include "protocol/noise/channel.h"
#include "protocol/noise/key_text.h"
#include "transport/text_file.h"

namespace valkyrie::bench {

namespace noise = protocol::noise;
namespace tls = protocol::tls;

namespace {

// Gives one side what the other has said; false if it fails.
bool carry(protocol::Channel& from, protocol::Channel& to) {
  std::vector<std::byte> said = from.take_output();
  Counter nothing;
  return said.empty() || to.receive(said, nothing).has_value();
}

std::int64_t unix_time() { return std::time(nullptr); }

}  // namespace

std::optional<Suite> suite_of(std::string_view word) {
  if (word == "noise-aes") return Suite::noise_aes;
  if (word == "noise-chacha") return Suite::noise_chacha;
  if (word == "tls") return Suite::tls;
  return std::nullopt;
}

std::expected<Certificates, std::string> read_certificates(const std::string& folder) {
  Certificates read;
  const std::pair<const char*, std::string*> files[] = {{"ca.crt", &read.authority},
                                                        {"node.crt", &read.node.certificate},
                                                        {"node.key", &read.node.key},
                                                        {"client.crt", &read.client.certificate},
                                                        {"client.key", &read.client.key}};
  for (const auto& [name, text] : files) {
    auto got = transport::read_text_file(folder + "/" + name);
    if (!got) return std::unexpected(std::move(got.error()));
    *text = std::move(*got);
  }
  return read;
}

PairSource::PairSource(Suite suite)
    : noise_(suite != Suite::tls),
      suite_(suite == Suite::noise_chacha ? noise::Suite::xx_mlkem_chacha_poly
                                          : noise::Suite::xx_mlkem_aes_gcm) {
  noise::make_key(noise::system_entropy(), dialer_key_);
  noise::make_key(noise::system_entropy(), acceptor_key_);
}

std::expected<std::unique_ptr<PairSource>, std::string> PairSource::make(
    Suite suite, const Certificates& certificates) {
  std::unique_ptr<PairSource> made(new PairSource(suite));
  if (made->noise_) return made;
  auto acceptor = tls::Acceptor::make({.own = certificates.node,
                                       .client_roots = certificates.authority,
                                       .client = tls::ClientCertificate::required,
                                       .require_pq = true,
                                       .clock = unix_time});
  if (!acceptor) return std::unexpected(std::move(acceptor.error()));
  made->acceptor_ = std::move(*acceptor);
  auto dialer = tls::Dialer::make({.roots = certificates.authority,
                                   .own = certificates.client,
                                   .require_pq = true,
                                   .clock = unix_time});
  if (!dialer) return std::unexpected(std::move(dialer.error()));
  made->dialer_ = std::move(*dialer);
  return made;
}

Pair PairSource::begin() {
  if (!noise_) return {.dialer = dialer_->dial("localhost"), .acceptor = acceptor_->accept()};
  const std::array suites = {suite_};
  const auto side = [&](noise::HandshakeRole role, const noise::KeyPair& key) {
    return std::make_unique<noise::Channel>(noise::ChannelConfig{
        .role = role, .suites = suites, .key = key, .entropy = noise::system_entropy()});
  };
  return {.dialer = side(noise::HandshakeRole::initiator, dialer_key_),
          .acceptor = side(noise::HandshakeRole::responder, acceptor_key_)};
}

// What the acceptor says after its handshake stays with it: that would be tickets.
std::optional<Pair> PairSource::shake_hands() {
  Pair pair = begin();
  while (!pair.dialer->open() || !pair.acceptor->open()) {
    if (!carry(*pair.dialer, *pair.acceptor)) return std::nullopt;
    if (!pair.dialer->open() && !carry(*pair.acceptor, *pair.dialer)) return std::nullopt;
  }
  return pair;
}

}  // namespace valkyrie::bench
