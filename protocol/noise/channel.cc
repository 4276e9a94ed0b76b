#include "protocol/noise/channel.h"

#include <algorithm>
#include <utility>

#include "protocol/assert.h"
#include "protocol/big_endian.h"
#include "protocol/noise/hybrid.h"
#include "protocol/noise/key_text.h"

namespace valkyrie::protocol::noise {

namespace {

constexpr std::array kMagic = {std::byte{0x56}, std::byte{0x4E}};
constexpr std::byte kVersion{1};
constexpr std::size_t kPreambleHeadBytes = 4;  // Magic, version, count.
constexpr std::size_t kSuitesMax = 16;
constexpr std::size_t kLengthBytes = 2;
// What a refusing acceptor says behind a count of 0.
constexpr std::byte kReasonNoCommonSuite{1};
constexpr std::byte kReasonPqRequired{2};

ChannelError error_of(HandshakeError error) {
  switch (error) {
    case HandshakeError::truncated:
    case HandshakeError::too_long:
      return ChannelError::bad_length;
    case HandshakeError::not_authentic:
      return ChannelError::not_authentic;
    case HandshakeError::bad_public_key:
    case HandshakeError::bad_kem_key:
      return ChannelError::bad_key;
  }
  return ChannelError::not_authentic;
}

}  // namespace

struct Channel::Opening {
  explicit Opening(const ChannelConfig& config)
      : role(config.role),
        suites(config.suites.begin(), config.suites.end()),
        key(config.key),
        peer(config.peer),
        entropy(config.entropy) {
    if (!config.psk.empty()) psk.emplace(config.psk.first<kKeyBytes>());
  }

  const HandshakeRole role;
  const std::vector<Suite> suites;
  const KeyPair& key;
  const std::optional<PublicKey> peer;
  std::optional<SecretKey> psk;
  Entropy& entropy;
  std::optional<Handshake> handshake;
  std::optional<KemKeyPair> kem;  // A dialer's.
  bool other_picked = false;      // The acceptor wants a dialer to begin with another suite,
  bool again = false;             // which is what this dialer does.
};

Channel::Channel(const ChannelConfig& config)
    : opening_(std::make_unique<Opening>(config)), picked_(config.suites.front()) {
  VALKYRIE_ASSERT(config.suites.size() <= kSuitesMax);
  if (config.role == HandshakeRole::responder) return;
  if (const auto sent = send_preamble(); !sent) failure_ = sent.error();
}

Channel::~Channel() = default;

std::string Channel::subject() const { return "key:" + key_text(peer_); }

std::unique_ptr<protocol::Channel> Channel::retry() const {
  if (opening_ == nullptr || !opening_->other_picked || opening_->again) return nullptr;
  std::vector<Suite> suites = opening_->suites;
  const auto picked = std::ranges::find(suites, picked_);
  std::rotate(suites.begin(), picked, picked + 1);
  auto next = std::make_unique<Channel>(
      ChannelConfig{.role = opening_->role,
                    .suites = suites,
                    .key = opening_->key,
                    .peer = opening_->peer,
                    .psk = opening_->psk ? Bytes(opening_->psk->bytes()) : Bytes(),
                    .entropy = opening_->entropy});
  next->opening_->again = true;
  return next;
}

// The dialer's preamble, which is the prologue, and its first message.
std::expected<void, ChannelError> Channel::send_preamble() {
  output_.assign(kMagic.begin(), kMagic.end());
  output_.push_back(kVersion);
  output_.push_back(static_cast<std::byte>(opening_->suites.size()));
  for (const Suite suite : opening_->suites) output_.push_back(static_cast<std::byte>(suite));
  begin(picked_, output_);
  if (!is_hybrid(picked_)) return send_message({});
  crypto::Secret<kKemSeedBytes> seed;
  opening_->entropy.fill(seed.bytes());
  opening_->kem.emplace(seed);
  return send_message(opening_->kem->encapsulation_key());
}

void Channel::begin(Suite suite, Bytes prologue) {
  picked_ = suite;
  const bool knows_peer =
      opening_->role == HandshakeRole::initiator && pattern_of(suite) == Pattern::xk;
  opening_->handshake.emplace(HandshakeConfig{.role = opening_->role,
                                              .suite = suite,
                                              .prologue = prologue,
                                              .key = opening_->key,
                                              .peer = knows_peer ? opening_->peer : std::nullopt,
                                              .entropy = opening_->entropy});
}

// Appends the next message of the handshake, and its length before it.
std::expected<void, ChannelError> Channel::send_message(Bytes payload) {
  const std::size_t start = output_.size();
  output_.resize(start + kLengthBytes);
  if (const auto written = opening_->handshake->write(payload, output_); !written) {
    output_.resize(start);
    return std::unexpected(error_of(written.error()));
  }
  const std::size_t size = output_.size() - start - kLengthBytes;
  store_big_endian(output_.data() + start, static_cast<std::uint16_t>(size));
  return {};
}

std::expected<void, ChannelError> Channel::receive(std::span<std::byte> bytes, PlainSink& sink) {
  VALKYRIE_ASSERT(state_ != State::failed);
  if (failure_) return std::unexpected(*failure_);
  while (!bytes.empty()) {
    if (const auto taken = take(bytes, sink); !taken) {
      state_ = State::failed;
      return taken;
    }
  }
  return {};
}

// Takes the next whole unit off the front of `bytes`, or keeps what there is of it.
std::expected<void, ChannelError> Channel::take(std::span<std::byte>& bytes, PlainSink& sink) {
  if (!partial_.empty()) return take_kept(bytes, sink);
  const auto size = size_of_next(bytes);
  if (!size) return std::unexpected(size.error());
  if (*size == 0 || bytes.size() < *size) {
    partial_.assign(bytes.begin(), bytes.end());
    bytes = {};
    return {};
  }
  const std::span<std::byte> unit = bytes.first(*size);
  bytes = bytes.subspan(*size);
  return take_unit(unit, sink);
}

// Completes the unit whose beginning came before.
std::expected<void, ChannelError> Channel::take_kept(std::span<std::byte>& bytes, PlainSink& sink) {
  const auto keep = [&](std::size_t count) {
    partial_.insert(partial_.end(), bytes.begin(),
                    bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
  };
  auto size = size_of_next(partial_);
  // A beginning that does not tell its length yet grows byte by byte.
  while (size && *size == 0 && !bytes.empty()) {
    keep(1);
    size = size_of_next(partial_);
  }
  if (!size) return std::unexpected(size.error());
  if (*size == 0) return {};
  keep(std::min(*size - partial_.size(), bytes.size()));
  if (partial_.size() < *size) return {};
  // Not kept after it, since an idle channel owns no buffer.
  std::vector<std::byte> unit = std::exchange(partial_, {});
  return take_unit(unit, sink);
}

std::expected<void, ChannelError> Channel::take_unit(std::span<std::byte> unit, PlainSink& sink) {
  if (state_ == State::preamble) return take_preamble(unit);
  const std::span<std::byte> rest = unit.subspan(kLengthBytes);
  return state_ == State::messages ? take_message(rest) : take_record(rest, sink);
}

// How long the unit is that begins with these bytes; 0 if they are too few to tell.
std::expected<std::size_t, ChannelError> Channel::size_of_next(Bytes bytes) const {
  if (state_ == State::preamble) {
    if (bytes.size() < kPreambleHeadBytes) return 0;
    const auto count = std::to_integer<std::size_t>(bytes[3]);
    const bool sound = std::ranges::equal(bytes.first(2), kMagic) && bytes[2] == kVersion;
    // An acceptor that refuses says why behind a count of 0.
    const bool refusal = count == 0 && opening_->role == HandshakeRole::initiator;
    if (!sound || count > kSuitesMax || (count == 0 && !refusal)) {
      return std::unexpected(ChannelError::bad_preamble);
    }
    return kPreambleHeadBytes + std::max<std::size_t>(count, 1);
  }
  if (bytes.size() < kLengthBytes) return 0;
  const std::size_t size = load_big_endian<std::uint16_t>(bytes.data());
  const bool possible = state_ == State::messages
                            ? size >= 1 && size <= kHandshakeBytesMax
                            : size > kTagBytes && size <= kRecordBytesMax + kTagBytes;
  if (!possible) return std::unexpected(ChannelError::bad_length);
  return kLengthBytes + size;
}

std::expected<void, ChannelError> Channel::take_preamble(std::span<std::byte> preamble) {
  state_ = State::messages;
  return opening_->role == HandshakeRole::initiator ? take_pick(preamble) : take_offer(preamble);
}

// The acceptor takes the best of all that the dialer offers, wherever it stands: who takes entries
// out of an offer, or moves them, changes the prologue of a handshake that then fails.
std::expected<void, ChannelError> Channel::take_offer(std::span<const std::byte> preamble) {
  const auto offered = preamble.subspan(kPreambleHeadBytes);
  const auto is_offered = [&](Suite suite) {
    return std::ranges::find(offered, static_cast<std::byte>(suite)) != offered.end();
  };
  const auto pick = std::ranges::find_if(opening_->suites, is_offered);
  if (pick == opening_->suites.end()) {
    const bool pq_only = std::ranges::all_of(opening_->suites, is_hybrid);
    const bool has_classical = std::ranges::any_of(
        offered, [](std::byte number) { return std::to_integer<unsigned>(number) < 0x10; });
    const ChannelError reason =
        pq_only && has_classical ? ChannelError::pq_required : ChannelError::no_common_suite;
    refuse(reason);
    return std::unexpected(reason);
  }
  output_.assign(kMagic.begin(), kMagic.end());
  output_.insert(output_.end(), {kVersion, std::byte{1}, static_cast<std::byte>(*pick)});
  picked_ = *pick;
  if (static_cast<std::byte>(*pick) != offered.front()) {
    return std::unexpected(ChannelError::other_suite);
  }
  begin(*pick, preamble);
  return {};
}

void Channel::refuse(ChannelError reason) {
  output_.assign(kMagic.begin(), kMagic.end());
  output_.insert(output_.end(),
                 {kVersion, std::byte{0},
                  reason == ChannelError::pq_required ? kReasonPqRequired : kReasonNoCommonSuite});
}

std::expected<void, ChannelError> Channel::take_pick(std::span<const std::byte> preamble) {
  const std::byte value = preamble[kPreambleHeadBytes];
  if (preamble[3] == std::byte{0}) {
    if (value == kReasonPqRequired) return std::unexpected(ChannelError::pq_required);
    return std::unexpected(ChannelError::no_common_suite);
  }
  const auto suite = suite_of(std::to_integer<std::uint8_t>(value));
  const bool offered =
      suite && std::ranges::find(opening_->suites, *suite) != opening_->suites.end();
  if (preamble[3] != std::byte{1} || !offered) return std::unexpected(ChannelError::bad_preamble);
  if (*suite == picked_) return {};
  picked_ = *suite;
  opening_->other_picked = true;
  return std::unexpected(ChannelError::other_suite);
}

std::expected<void, ChannelError> Channel::take_message(std::span<std::byte> message) {
  Handshake& handshake = *opening_->handshake;
  if (opening_->role == HandshakeRole::initiator) return conclude(message);
  if (handshake.passed() == 0) return answer(message);
  const auto payload = handshake.read(message);
  if (!payload) return std::unexpected(error_of(payload.error()));
  if (!payload->empty()) return std::unexpected(ChannelError::bad_length);
  become_open();
  return {};
}

// The acceptor has the first message, and writes the second.
std::expected<void, ChannelError> Channel::answer(std::span<std::byte> message) {
  Handshake& handshake = *opening_->handshake;
  const auto payload = handshake.read(message);
  if (!payload) return std::unexpected(error_of(payload.error()));
  const std::size_t expected = is_hybrid(picked_) ? kEncapsulationKeyBytes : 0;
  if (payload->size() != expected) return std::unexpected(ChannelError::bad_length);
  if (!is_hybrid(picked_)) return send_message({});
  EncapsulationKey key;
  std::ranges::copy(*payload, key.begin());
  Encapsulated encapsulated;
  if (!opening_->entropy.encapsulate(key, encapsulated)) {
    return std::unexpected(ChannelError::bad_key);
  }
  if (const auto sent = send_message(encapsulated.ciphertext); !sent) return sent;
  SecretKey psk;
  derive_psk(encapsulated.secret, key, encapsulated.ciphertext,
             opening_->psk ? Bytes(opening_->psk->bytes()) : Bytes(), psk);
  handshake.set_psk(psk);
  return {};
}

// The dialer has the second message, and writes the last.
std::expected<void, ChannelError> Channel::conclude(std::span<std::byte> message) {
  Handshake& handshake = *opening_->handshake;
  const auto payload = handshake.read(message);
  if (!payload) return std::unexpected(error_of(payload.error()));
  const std::size_t expected = is_hybrid(picked_) ? kKemCiphertextBytes : 0;
  if (payload->size() != expected) return std::unexpected(ChannelError::bad_length);
  if (is_hybrid(picked_)) {
    KemCiphertext ciphertext;
    std::ranges::copy(*payload, ciphertext.begin());
    SecretKey secret;
    opening_->kem->decapsulate(ciphertext, secret);
    SecretKey psk;
    derive_psk(secret, opening_->kem->encapsulation_key(), ciphertext,
               opening_->psk ? Bytes(opening_->psk->bytes()) : Bytes(), psk);
    handshake.set_psk(psk);
  }
  if (const auto sent = send_message({}); !sent) return sent;
  become_open();
  return {};
}

void Channel::become_open() {
  const Handshake& handshake = *opening_->handshake;
  sending_.emplace(cipher_of(picked_));
  receiving_.emplace(cipher_of(picked_));
  handshake.split(*sending_, *receiving_);
  peer_ = *handshake.peer();
  hash_ = handshake.hash();
  opening_.reset();
  state_ = State::records;
}

std::expected<void, ChannelError> Channel::take_record(std::span<std::byte> record,
                                                       PlainSink& sink) {
  if (!receiving_->open({}, record)) return std::unexpected(ChannelError::not_authentic);
  if (++opened_ % kRekeyRecords == 0) receiving_->rekey();
  sink.on_plain(record.first(record.size() - kTagBytes));
  return {};
}

// Text is appended and sealed where it lies: only its way there costs a copy.
std::expected<void, ChannelError> Channel::seal(std::span<const std::span<const std::byte>> text,
                                                std::vector<std::byte>& out) {
  VALKYRIE_ASSERT(open());
  std::size_t total = 0;
  for (const auto piece : text) total += piece.size();
  const std::size_t records = (total + kRecordBytesMax - 1) / kRecordBytesMax;
  const std::size_t needed = out.size() + total + records * (kLengthBytes + kTagBytes);
  if (needed > out.capacity()) out.reserve(std::max(needed, 2 * out.capacity()));
  auto piece = text.begin();
  std::size_t offset = 0;
  while (total > 0) {
    const std::size_t size = std::min(total, kRecordBytesMax);
    const std::size_t start = out.size();
    out.resize(start + kLengthBytes);
    store_big_endian(out.data() + start, static_cast<std::uint16_t>(size + kTagBytes));
    for (std::size_t left = size; left > 0;) {
      const std::size_t part = std::min(left, piece->size() - offset);
      const auto bytes = piece->subspan(offset, part);
      out.insert(out.end(), bytes.begin(), bytes.end());
      left -= part;
      offset += part;
      if (offset == piece->size()) {
        ++piece;
        offset = 0;
      }
    }
    out.resize(out.size() + kTagBytes);
    if (!sending_->seal({}, std::span(out).subspan(start + kLengthBytes))) {
      out.resize(start);
      state_ = State::failed;
      return std::unexpected(ChannelError::used_up);
    }
    if (++sealed_ % kRekeyRecords == 0) sending_->rekey();
    total -= size;
  }
  return {};
}

}  // namespace valkyrie::protocol::noise
