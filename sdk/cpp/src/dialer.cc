#include "sdk/cpp/src/dialer.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fmt/core.h>
#include <unistd.h>
#include <utility>

#include "sdk/cpp/src/core.h"

namespace valkyrie::detail {
namespace {

// The next address is tried beside one that has not answered by then.
constexpr protocol::Duration kNextAddress = std::chrono::milliseconds{250};

std::string_view word_of(const transport::TransportError& error) {
  using Kind = transport::TransportErrorKind;
  if (error.system_error == ENOENT) return "no such socket";
  switch (error.kind) {
    case Kind::refused:
      return "refused";
    case Kind::unreachable:
      return "unreachable";
    case Kind::timed_out:
      return "timed out";
    case Kind::not_found:
      return "unknown host";
    case Kind::permission:
      return "permission denied";
    case Kind::no_path:
      return "no such socket";
    case Kind::out_of_resources:
      return "out of descriptors or memory";
    case Kind::bad_address:
    case Kind::insecure:
    case Kind::in_use:
    case Kind::system:
      return error.message;
  }
  return error.message;
}

std::string environment(const char* name) {
  // Read once, before the client has threads of its own.
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? "" : value;
}

// What the program says, else what its user does.
std::string chosen(const std::string& option, const char* variable) {
  return option.empty() ? environment(variable) : option;
}

Result<Candidate> parse_one(std::string_view text) {
  auto address = transport::parse_address(text);
  if (!address) {
    return fail(StatusCode::invalid_argument, address.error().message, Outcome::not_executed);
  }
  if (address->noise && address->key.empty()) {
    return fail(
        StatusCode::invalid_argument,
        fmt::format("{}: the node's key is missing: write noise://HOST:PORT?key=DIGITS, as the "
                    "node prints it when it starts",
                    transport::to_string(*address)),
        Outcome::not_executed);
  }
  std::string url = transport::to_string(*address);
  return Candidate{.address = std::move(*address), .url = std::move(url)};
}

Result<std::vector<Candidate>> parse_list(std::string_view list) {
  std::vector<Candidate> result;
  while (true) {
    const std::size_t comma = list.find(',');
    auto one = parse_one(list.substr(0, comma));
    if (!one) return std::unexpected(std::move(one.error()));
    result.push_back(std::move(*one));
    if (comma == std::string_view::npos) return result;
    list.remove_prefix(comma + 1);
  }
}

Result<std::vector<Candidate>> default_candidates() {
  std::vector<Candidate> result;
  std::vector<std::string> sockets;
  if (std::string runtime = environment("XDG_RUNTIME_DIR"); !runtime.empty()) {
    sockets.push_back(std::move(runtime) + "/valkyrie/node.sock");
  }
  sockets.emplace_back("/run/valkyrie/node.sock");
  for (const std::string& path : sockets) {
    if (::access(path.c_str(), F_OK) != 0) continue;
    if (auto one = parse_one("unix://" + path)) result.push_back(std::move(*one));
  }
  auto loopback = parse_one("valkyrie://127.0.0.1");
  if (!loopback) return std::unexpected(std::move(loopback.error()));
  result.push_back(std::move(*loopback));
  return result;
}

bool same_scheme(const transport::Address& a, const transport::Address& b) {
  return a.kind == b.kind && a.noise == b.noise && a.tls == b.tls;
}

}  // namespace

Result<std::vector<Candidate>> candidates(const Address& address) {
  if (!address.text().empty()) return parse_list(address.text());
  if (const std::string list = environment("VALKYRIE_NODE"); !list.empty()) {
    return parse_list(list);
  }
  return default_candidates();
}

Result<std::unique_ptr<NoiseKey>> noise_key_for(const std::vector<Candidate>& candidates,
                                                const ClientOptions& options) {
  const bool needed = std::ranges::any_of(
      candidates, [](const Candidate& candidate) { return candidate.address.noise; });
  if (!needed) return nullptr;
  auto key = std::make_unique<NoiseKey>();
  const std::string file = chosen(options.noise_key_file, "VALKYRIE_NOISE_KEY");
  const std::string psk = chosen(options.noise_psk_file, "VALKYRIE_NOISE_PSK");
  Result<void> read;
  if (!file.empty()) read = key->read(file);
  if (read && !psk.empty()) read = key->read_psk(psk);
  if (!read) return std::unexpected(std::move(read.error()));
  return key;
}

Result<std::unique_ptr<protocol::tls::Dialer>> tls_dialer_for(
    const std::vector<Candidate>& candidates, const ClientOptions& options) {
  const bool needed = std::ranges::any_of(
      candidates, [](const Candidate& candidate) { return candidate.address.tls; });
  if (!needed) return nullptr;
  return make_tls_dialer(
      {.roots = chosen(options.tls_ca_file, "VALKYRIE_TLS_CA"),
       .revoked = chosen(options.tls_crl_file, "VALKYRIE_TLS_CRL"),
       .certificate = chosen(options.tls_certificate_file, "VALKYRIE_TLS_CERTIFICATE"),
       .key = chosen(options.tls_key_file, "VALKYRIE_TLS_KEY")},
      options.tls_require_pq);
}

// One address of a round: dials, then waits for the hello.
class Dialer::Attempt final : private transport::ConnectHandler {
 public:
  Attempt(Dialer& dialer, const Candidate& candidate)
      : dialer_(dialer), candidate_(candidate), connector_(make_connector()) {}

  void start() { connector_->start(candidate_.address); }

  // Dials once more, with this channel, if the node asked for another suite than the first.
  bool dial_again(std::unique_ptr<protocol::Channel> channel) {
    if (channel == nullptr) return false;
    retry_ = std::move(channel);
    refused_ = std::move(link);  // It may be what is calling.
    connector_ = make_connector();
    start();
    return true;
  }

  void fail(std::string_view why) {
    failure = fmt::format("{} ({})", candidate_.url, why);
    failed = true;
    dialer_.on_attempt_failed();
  }

  std::unique_ptr<Link> link;
  std::string failure;
  bool failed = false;

 private:
  void on_connected(transport::Socket socket) override {
    auto channel =
        retry_ != nullptr ? std::move(retry_) : dialer_.core_.channel_to(candidate_.address);
    auto credential = dialer_.core_.read_credential();
    if (!credential) return fail(credential.error().message());
    link = std::make_unique<Link>(dialer_.core_, dialer_.core_.new_link_number(), candidate_.url,
                                  std::move(socket), std::move(channel), *std::move(credential));
    if (!link->start()) fail("out of descriptors or memory");
  }

  void on_connect_failed(const transport::TransportError& error) override { fail(word_of(error)); }

  std::unique_ptr<transport::Connector> make_connector() {
    const transport::ConnectOptions options{.timeout = dialer_.core_.options().connect_timeout};
    transport::ConnectHandler& handler = *this;
    return std::make_unique<transport::Connector>(dialer_.core_.reactor(), handler, options);
  }

  Dialer& dialer_;
  const Candidate& candidate_;
  std::unique_ptr<transport::Connector> connector_;
  std::unique_ptr<protocol::Channel> retry_;  // Of the second attempt, until it is connected.
  std::unique_ptr<Link> refused_;             // The first one's.
};

Dialer::Dialer(Core& core, std::vector<Candidate> its_candidates)
    : core_(core), candidates_(std::move(its_candidates)) {
  for (const Candidate& candidate : candidates_) {
    if (!described_.empty()) described_ += ", ";
    described_ += candidate.url;
  }
}

Dialer::~Dialer() = default;

void Dialer::clean() { finished_.clear(); }

// Schemes stay as they were written, so that no weaker channel is tried first; inside one the order
// is random, which spreads the clients over the nodes.
void Dialer::shuffle() {
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    std::size_t end = i;
    while (end < candidates_.size() &&
           same_scheme(candidates_[end].address, candidates_[i].address)) {
      ++end;
    }
    if (candidates_[i].address.kind != transport::AddressKind::tcp) continue;
    const auto pick = i + static_cast<std::size_t>(core_.random() * static_cast<double>(end - i));
    std::swap(candidates_[i], candidates_[pick]);
  }
}

void Dialer::dial() {
  shuffle();
  start_next();
}

void Dialer::start_next() {
  if (attempts_.size() == candidates_.size()) return;
  attempts_.push_back(std::make_unique<Attempt>(*this, candidates_[attempts_.size()]));
  core_.reactor().timers().arm(next_timer_, core_.now() + kNextAddress);
  attempts_.back()->start();
}

void Dialer::on_attempt_failed() {
  const bool all_failed =
      std::ranges::all_of(attempts_, [](const auto& attempt) { return attempt->failed; });
  if (attempts_.size() < candidates_.size()) {
    if (all_failed) start_next();
    return;
  }
  if (!all_failed) return;
  std::string why;
  for (const auto& attempt : attempts_) {
    if (!why.empty()) why += ", ";
    why += attempt->failure;
  }
  stop();
  core_.on_dial_failed(why);
}

bool Dialer::on_greeting_failed(Link& link, std::string_view why) {
  for (const auto& attempt : attempts_) {
    if (attempt->link.get() == &link && !attempt->failed) {
      if (!attempt->dial_again(link.retry_channel())) attempt->fail(why);
      return true;
    }
  }
  return false;
}

std::unique_ptr<Link> Dialer::take(Link& link) {
  std::unique_ptr<Link> taken;
  for (const auto& attempt : attempts_) {
    if (attempt->link.get() == &link) taken = std::move(attempt->link);
  }
  if (taken != nullptr) stop();
  return taken;
}

// Attempts may be what is calling: they are destroyed at the end of the turn.
void Dialer::stop() {
  next_timer_.cancel();
  for (auto& attempt : attempts_) finished_.push_back(std::move(attempt));
  attempts_.clear();
  core_.at_end_of_turn();
}

}  // namespace valkyrie::detail
