#include "protocol/noise/handshake.h"

#include <algorithm>
#include <array>

#include "protocol/assert.h"

namespace valkyrie::protocol::noise {

std::string_view to_string(HandshakeError error) {
  switch (error) {
    case HandshakeError::truncated:
      return "truncated";
    case HandshakeError::too_long:
      return "too_long";
    case HandshakeError::not_authentic:
      return "not_authentic";
    case HandshakeError::bad_public_key:
      return "bad_public_key";
    case HandshakeError::bad_kem_key:
      return "bad_kem_key";
  }
  return "unknown";
}

Handshake::Handshake(const HandshakeConfig& config)
    : initiator_(config.role == HandshakeRole::initiator),
      suite_(config.suite),
      key_(config.key),
      entropy_(config.entropy),
      symmetric_(protocol_name(config.suite), cipher_of(config.suite)),
      peer_(config.peer) {
  const bool knows_peer = initiator_ && pattern_of(suite_) == Pattern::xk;
  VALKYRIE_ASSERT(peer_.has_value() == knows_peer);
  symmetric_.mix_hash(config.prologue);
  if (pattern_of(suite_) == Pattern::xk) symmetric_.mix_hash(initiator_ ? *peer_ : key_.shared);
}

// Of the message that is next: revision 34, section 7.5 (XX, XK), 9.4 (psk3).
std::span<const Handshake::Token> Handshake::tokens() const {
  static constexpr std::array kE = {Token::e};
  static constexpr std::array kEEs = {Token::e, Token::es};
  static constexpr std::array kEEeSEs = {Token::e, Token::ee, Token::s, Token::es};
  static constexpr std::array kEEe = {Token::e, Token::ee};
  static constexpr std::array kLast = {Token::s, Token::se, Token::psk};
  const bool xx = pattern_of(suite_) == Pattern::xx;
  switch (turn_) {
    case 0:
      return xx ? std::span<const Token>(kE) : kEEs;
    case 1:
      return xx ? std::span<const Token>(kEEeSEs) : kEEe;
    default:
      return std::span<const Token>(kLast).first(is_psk3() ? 3 : 2);
  }
}

std::expected<void, HandshakeError> Handshake::write(Bytes payload, std::vector<std::byte>& out) {
  VALKYRIE_ASSERT(writes_next());
  const std::size_t start = out.size();
  for (const Token token : tokens()) {
    if (const auto written = write_token(token, out); !written) return written;
  }
  append_sealed(payload, out);
  if (out.size() - start > kHandshakeMessageBytesMax) {
    return std::unexpected(HandshakeError::too_long);
  }
  ++turn_;
  return {};
}

std::expected<std::span<std::byte>, HandshakeError> Handshake::read(std::span<std::byte> message) {
  VALKYRIE_ASSERT(reads_next());
  std::span<std::byte> rest = message;
  for (const Token token : tokens()) {
    if (const auto read = read_token(token, rest); !read) return std::unexpected(read.error());
  }
  const std::size_t overhead = symmetric_.overhead();
  if (rest.size() < overhead) return std::unexpected(HandshakeError::truncated);
  if (!symmetric_.open_and_hash(rest)) return std::unexpected(HandshakeError::not_authentic);
  ++turn_;
  return rest.first(rest.size() - overhead);
}

void Handshake::split(CipherState& sending, CipherState& receiving) const {
  VALKYRIE_ASSERT(done());
  if (initiator_) {
    symmetric_.split(sending, receiving);
  } else {
    symmetric_.split(receiving, sending);
  }
}

// With a psk the ephemeral keys go into the key too: revision 34, section 9.2.
void Handshake::mix_ephemeral(const PublicKey& key) {
  symmetric_.mix_hash(key);
  if (is_psk3()) symmetric_.mix_key(key);
}

std::expected<void, HandshakeError> Handshake::write_token(Token token,
                                                           std::vector<std::byte>& out) {
  if (token == Token::e) {
    SecretKey secret;
    entropy_.fill(secret.bytes());
    ephemeral_.set_secret(secret.bytes());
    out.insert(out.end(), ephemeral_.shared.begin(), ephemeral_.shared.end());
    mix_ephemeral(ephemeral_.shared);
    return {};
  }
  if (token != Token::s) return mix(token);
  append_sealed(key_.shared, out);
  return {};
}

std::expected<void, HandshakeError> Handshake::read_token(Token token, std::span<std::byte>& rest) {
  if (token != Token::e && token != Token::s) return mix(token);
  const std::size_t size = kKeyBytes + (token == Token::s ? symmetric_.overhead() : 0);
  if (rest.size() < size) return std::unexpected(HandshakeError::truncated);
  const std::span<std::byte> field = rest.first(size);
  rest = rest.subspan(size);
  if (token == Token::e) {
    std::ranges::copy(field, peer_ephemeral_.begin());
    if (!is_canonical(peer_ephemeral_)) {
      return std::unexpected(HandshakeError::bad_public_key);
    }
    mix_ephemeral(peer_ephemeral_);
    return {};
  }
  if (!symmetric_.open_and_hash(field)) return std::unexpected(HandshakeError::not_authentic);
  std::ranges::copy(field.first(kKeyBytes), peer_.emplace().begin());
  if (!is_canonical(*peer_)) return std::unexpected(HandshakeError::bad_public_key);
  return {};
}

// The first letter of a DH token is the initiator's key, the second the responder's.
std::expected<void, HandshakeError> Handshake::mix(Token token) {
  if (token == Token::psk) {
    symmetric_.mix_key_and_hash(psk_.bytes());
    return {};
  }
  const bool own_static = token == (initiator_ ? Token::se : Token::es);
  const bool peer_static = token == (initiator_ ? Token::es : Token::se);
  SecretKey shared;
  const bool sound = diffie_hellman(own_static ? key_.secret : ephemeral_.secret,
                                    peer_static ? *peer_ : peer_ephemeral_, shared);
  if (!sound) return std::unexpected(HandshakeError::bad_public_key);
  symmetric_.mix_key(shared.bytes());
  return {};
}

void Handshake::append_sealed(Bytes text, std::vector<std::byte>& out) {
  const std::size_t start = out.size();
  out.insert(out.end(), text.begin(), text.end());
  out.resize(out.size() + symmetric_.overhead());
  // A nonce is used up after 2^64 messages, a handshake has three.
  const bool sealed = symmetric_.seal_and_hash(std::span(out).subspan(start));
  VALKYRIE_ASSERT(sealed);
}

}  // namespace valkyrie::protocol::noise
