#include "tests/simulation/channel_world.h"

#include <algorithm>
#include <vector>

#include "protocol/noise/channel.h"
#include "protocol/noise/key_text.h"
#include "tests/simulation/violation.h"

namespace valkyrie::simulation {
namespace {

namespace noise = protocol::noise;
using namespace std::chrono_literals;
using protocol::Role;

// A world that goes on longer never ends.
constexpr std::uint64_t kTurnsMax = 200'000;
constexpr Duration kTimeMax = 10min;

// Bytes of the longest handshake, both ways, and some of what follows.
constexpr std::uint64_t kNoiseBytes = 3000;
constexpr std::uint64_t kTlsBytes = 6000;

// What an acceptor says at once to who has proven nothing.
constexpr std::size_t kNoiseAnswerMax = 2 + 3 + 2 + noise::kHandshakeBytesMax;
constexpr std::size_t kTlsAnswerMax = 16U << 10U;

std::unique_ptr<protocol::Channel> noise_channel(const noise::ChannelConfig& config) {
  return std::make_unique<noise::Channel>(config);
}

// A channel that protects nothing.
class Nothing final : public protocol::Channel {
 public:
  std::expected<void, protocol::ChannelError> receive(std::span<std::byte> bytes,
                                                      protocol::PlainSink& sink) override {
    sink.on_plain(bytes);
    return {};
  }
  std::expected<void, protocol::ChannelError> seal(std::span<const std::span<const std::byte>> text,
                                                   std::vector<std::byte>& out) override {
    for (const auto piece : text) out.insert(out.end(), piece.begin(), piece.end());
    return {};
  }
  std::vector<std::byte> take_output() override { return {}; }
  [[nodiscard]] bool open() const override { return true; }
  [[nodiscard]] std::string subject() const override { return {}; }
  [[nodiscard]] protocol::Proof proof() const override { return protocol::Proof::none; }
  [[nodiscard]] bool hybrid() const override { return false; }
};

}  // namespace

// Keys that the seed decides.
class ChannelWorld::Entropy final : public noise::Entropy {
 public:
  explicit Entropy(std::uint64_t seed) : random_(seed) {}

  void fill(std::span<std::byte> bytes) override {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_());
  }
  bool encapsulate(const noise::EncapsulationKey& key, noise::Encapsulated& out) override {
    return noise::system_entropy().encapsulate(key, out);
  }

 private:
  std::mt19937_64 random_;
};

// What both sides of a world of Noise are told.
struct ChannelWorld::Noise {
  explicit Noise(std::mt19937_64& random) : entropy(random()) {
    noise::make_key(entropy, dialer);
    noise::make_key(entropy, acceptor);
    pinned = random() % 2 == 0;
    const auto wanted = pinned ? noise::Pattern::xk : noise::Pattern::xx;
    for (const noise::Suite suite : noise::kSuites) {
      if (noise::pattern_of(suite) == wanted) offered.push_back(suite);
      if (random() % 3 != 0) taken.push_back(suite);
    }
    std::ranges::shuffle(offered, random);
    std::ranges::shuffle(taken, random);
    offered.resize(1 + random() % offered.size());
    if (taken.empty()) taken = offered;
    if (random() % 4 == 0) dialer_psk.resize(noise::kKeyBytes, std::byte{1});
    if (random() % 4 == 0) acceptor_psk = dialer_psk;
  }

  std::unique_ptr<protocol::Channel> dial() {
    return noise_channel({.role = noise::HandshakeRole::initiator,
                          .suites = offered,
                          .key = dialer,
                          .peer = pinned ? std::optional(acceptor.shared) : std::nullopt,
                          .psk = dialer_psk,
                          .entropy = entropy});
  }
  std::unique_ptr<protocol::Channel> accept() {
    return noise_channel({.role = noise::HandshakeRole::responder,
                          .suites = taken,
                          .key = acceptor,
                          .psk = acceptor_psk,
                          .entropy = entropy});
  }
  // Whether two of one mind should come together.
  [[nodiscard]] bool fits() const {
    const auto shared = std::ranges::find_if(taken, [this](noise::Suite suite) {
      return std::ranges::find(offered, suite) != offered.end();
    });
    if (shared == taken.end()) return false;
    return !noise::is_hybrid(*shared) || dialer_psk == acceptor_psk;
  }

  Entropy entropy;
  noise::KeyPair dialer;
  noise::KeyPair acceptor;
  bool pinned = false;
  std::vector<noise::Suite> offered{};
  std::vector<noise::Suite> taken{};
  std::vector<std::byte> dialer_psk{};
  std::vector<std::byte> acceptor_psk{};
};

ChannelWorld::ChannelWorld(std::uint64_t seed, Kind kind, const TlsSides* tls)
    : random_(seed), kind_(kind), tls_(tls) {
  if (kind == Kind::noise) noise_ = std::make_unique<Noise>(random_);
  choose_faults();
}

ChannelWorld::~ChannelWorld() = default;

void ChannelWorld::choose_faults() {
  constexpr std::array<std::size_t, 4> kPieces = {1, 40, 700, SIZE_MAX};
  faults_.piece_bytes_max = kPieces[pick(kPieces.size())];
  if (pick(2) == 0) faults_.delay_max = 50ms;
  if (pick(2) == 0) faults_.joined_bytes_max = 1U << pick(14);
  faults_.uneven = pick(2) == 0;
  // One in so many pieces, of which there are few to some thousands.
  const auto one_in = [this] { return static_cast<std::uint32_t>(1U << pick(9)); };
  switch (pick(8)) {
    case 0:
      damage_.duplicated_one_in = one_in();
      break;
    case 1:
      damage_.lost_one_in = one_in();
      break;
    case 2:
      damage_.flipped_one_in = one_in();
      break;
    case 3:
      damage_ = {one_in(), one_in(), one_in()};
      break;
    case 4:
      breaks_ = 1 + pick(kind_ == Kind::tls ? kTlsBytes : kNoiseBytes);
      break;
    case 5:
      breaks_ = 1 + pick(kind_ == Kind::tls ? kTlsBytes : kNoiseBytes);
      stalls_ = true;
      break;
    case 6:
      injects_ = true;
      break;
    default:
      return;
  }
  hostile_ = true;
}

void ChannelWorld::dial(std::unique_ptr<protocol::Channel> dialer,
                        std::unique_ptr<protocol::Channel> acceptor) {
  dialer_.emplace(Role::dialer, std::move(dialer), pool_, now_);
  acceptor_.emplace(Role::acceptor, std::move(acceptor), pool_, now_);
  to_acceptor_ = Pipe();
  to_dialer_ = Pipe();
  const std::uint64_t which = pick(3);
  if (which != 0) to_acceptor_.damage = damage_;
  if (which != 1) to_dialer_.damage = damage_;
}

ChannelCounts ChannelWorld::run() {
  ChannelCounts counts;
  if (kind_ == Kind::nothing) {
    dial(std::make_unique<Nothing>(), std::make_unique<Nothing>());
    live();
  } else if (kind_ == Kind::tls) {
    dial(tls_->dialer.dial("localhost"), tls_->acceptor.accept());
    live();
  } else {
    dial(noise_->dial(), noise_->accept());
    live();
    auto retry = dialer_->channel().retry();
    require((retry != nullptr) == (dialer_->error() == protocol::ChannelError::other_suite),
            "a dialer dials again for another suite and for nothing else");
    if (retry != nullptr) {
      count(counts);
      counts.failed = 0;
      ++again_;
      dial(std::move(retry), noise_->accept());
      live();
      require(dialer_->channel().retry() == nullptr, "a third attempt");
    }
  }
  check_end();
  count(counts);
  return counts;
}

void ChannelWorld::live() {
  const Instant end = now_ + kTimeMax;
  for (;;) {
    while (turn()) {
      require(++turns_ < kTurnsMax, "a world that never rests");
      check_text();
    }
    if (dialer_->over() && acceptor_->over()) return;
    const bool quiet = to_acceptor_.empty() && to_dialer_.empty();
    if (quiet && dialer_->content() && acceptor_->content()) return;
    require(let_time_pass(), "an end waits for nothing");
    require(now_ < end, "an end waits for ever");
  }
}

// False if nothing moved.
bool ChannelWorld::turn() {
  interfere();
  dialer_->speak(to_acceptor_, faults_, random_, now_);
  acceptor_->speak(to_dialer_, faults_, random_, now_);
  const bool moved = carry(to_acceptor_, *acceptor_);
  const bool moved_back = carry(to_dialer_, *dialer_);
  dialer_->speak(to_acceptor_, faults_, random_, now_);
  acceptor_->speak(to_dialer_, faults_, random_, now_);
  pass_end(*dialer_, to_acceptor_, *acceptor_);
  pass_end(*acceptor_, to_dialer_, *dialer_);
  return moved || moved_back;
}

// Hands out what is due, up to the byte at which the connection is cut or stalls.
bool ChannelWorld::carry(Pipe& way, ChannelEnd& to) {
  return way.deliver(faults_, random_, now_, [&](std::span<const std::byte> bytes) {
    if (is_cut_ || is_stalled_) return;
    const std::uint64_t left = breaks_ ? *breaks_ - passed_ : UINT64_MAX;
    bytes = bytes.first(std::min<std::uint64_t>(bytes.size(), left));
    passed_ += bytes.size();
    if (!bytes.empty()) to.take(bytes, now_);
    if (breaks_ && passed_ == *breaks_) break_now();
  });
}

// Who is over closes its socket; the other sees the end behind the last byte.
void ChannelWorld::pass_end(const ChannelEnd& from, Pipe& way, ChannelEnd& to) {
  if (from.over() && way.empty() && !to.over()) to.take_end(now_);
}

void ChannelWorld::interfere() {
  if (injects_ && pick(6) == 0 && injected_ < 3) inject();
}

void ChannelWorld::break_now() {
  if (stalls_) {
    is_stalled_ = true;
    return;
  }
  is_cut_ = true;
  dialer_->take_end(now_);
  acceptor_->take_end(now_);
}

// What a session without a channel would say.
void ChannelWorld::inject() {
  const bool at_acceptor = pick(2) == 0;
  protocol::Session plain(Role::dialer, protocol::SessionConfig{}, pool_, now_);
  std::array<std::span<const std::byte>, 16> found;
  const std::size_t pieces = plain.gather(found, 1U << 16U);
  Pipe& way = at_acceptor ? to_acceptor_ : to_dialer_;
  for (const auto piece : std::span(found).first(pieces)) way.send(piece, {}, random_, now_);
  ++injected_;
}

// Goes to the next arrival or deadline; false if there is none.
bool ChannelWorld::let_time_pass() {
  std::optional<Instant> next;
  const auto earlier = [&next](const std::optional<Instant>& other) {
    if (other && (!next || *other < *next)) next = other;
  };
  earlier(to_acceptor_.due());
  earlier(to_dialer_.due());
  for (const ChannelEnd* end : {&*dialer_, &*acceptor_}) {
    if (!end->over()) earlier(end->session().deadline());
  }
  if (!next) return false;
  now_ = std::max(now_, *next);
  for (ChannelEnd* end : {&*dialer_, &*acceptor_}) {
    const auto deadline = end->session().deadline();
    if (!end->over() && deadline && *deadline <= now_) end->on_deadline(now_);
  }
  return true;
}

// What an end heard is what the other said, in order, from the first byte on, and nothing else.
void ChannelWorld::check_text() const {
  require(dialer_->said().starts_with(acceptor_->heard()), "the acceptor heard what nobody said");
  require(acceptor_->said().starts_with(dialer_->heard()), "the dialer heard what nobody said");
  const std::size_t most = kind_ == Kind::tls ? kTlsAnswerMax : kNoiseAnswerMax;
  require(acceptor_->unproven_bytes() <= most, "{} bytes for who has proven nothing",
          acceptor_->unproven_bytes());
}

// Both have a session: each has the other as it is.
void ChannelWorld::check_views() const {
  const protocol::Channel& dialer = dialer_->channel();
  const protocol::Channel& acceptor = acceptor_->channel();
  require(dialer.open() && acceptor.open(), "a session without a channel");
  require(dialer.hybrid() == acceptor.hybrid(), "the sides differ on the exchange");
  require(dialer_->session().peer().agent == "acceptor", "the dialer talks to somebody else");
  require(acceptor_->session().peer().agent == "dialer", "the acceptor talks to somebody else");
  if (kind_ == Kind::noise) return check_noise_views();
  if (kind_ == Kind::tls) {
    require(acceptor.subject() == "spiffe://valkyrie.test/client", "{}", acceptor.subject());
    require(dialer.subject() == "dns:localhost", "{}", dialer.subject());
    require(dialer.hybrid(), "a weaker exchange than both can");
  }
}

void ChannelWorld::check_noise_views() const {
  const auto& ours = static_cast<const noise::Channel&>(dialer_->channel());
  const auto& theirs = static_cast<const noise::Channel&>(acceptor_->channel());
  require(ours.hash() == theirs.hash(), "the sides saw different handshakes");
  require(ours.picked() == theirs.picked(), "the sides speak different suites");
  require(ours.peer() == noise_->acceptor.shared, "the dialer has another's key");
  require(theirs.peer() == noise_->dialer.shared, "the acceptor has another's key");
  const auto is_best = [this](noise::Suite suite) {
    return std::ranges::find(noise_->offered, suite) != noise_->offered.end();
  };
  require(theirs.picked() == *std::ranges::find_if(noise_->taken, is_best), "a weaker suite");
}

void ChannelWorld::check_end() {
  check_text();
  const bool established = dialer_->content() && acceptor_->content();
  if (acceptor_->session().ready() || established) check_views();
  for (const ChannelEnd* end : {&*dialer_, &*acceptor_}) {
    require(established || end->error() || end->code(), "an end without a reason");
  }
  const bool should = !hostile_ && (kind_ != Kind::noise || noise_->fits());
  require(!should || established, "nobody was in the way: dialer {}, acceptor {}",
          to_string(dialer_->error().value_or(protocol::ChannelError::none)),
          to_string(acceptor_->error().value_or(protocol::ChannelError::none)));
  require(!established || kind_ != Kind::noise || noise_->fits(), "who does not fit came together");
}

void ChannelWorld::count(ChannelCounts& counts) const {
  const bool established = dialer_->content() && acceptor_->content();
  counts.established += established ? 1 : 0;
  counts.again += established ? again_ : 0;
  counts.failed += dialer_->error() || acceptor_->error() ? 1 : 0;
  const bool timed_out = dialer_->code() == protocol::CloseCode::handshake_timeout ||
                         acceptor_->code() == protocol::CloseCode::handshake_timeout;
  counts.timeouts += timed_out ? 1 : 0;
  counts.cut += is_cut_ ? 1 : 0;
  counts.damaged += to_acceptor_.damaged() + to_dialer_.damaged();
  counts.injected += injected_;
}

}  // namespace valkyrie::simulation
