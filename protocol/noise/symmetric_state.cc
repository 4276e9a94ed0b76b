#include "protocol/noise/symmetric_state.h"

#include <algorithm>

namespace valkyrie::protocol::noise {

SymmetricState::SymmetricState(std::string_view protocol_name, Cipher cipher) : cipher_(cipher) {
  const Bytes name = std::as_bytes(std::span(protocol_name));
  if (name.size() <= kHashBytes) {
    std::ranges::copy(name, hash_.begin());
  } else {
    hash_ = sha256(name);
  }
  chaining_key_.set(hash_);
}

void SymmetricState::mix_key(Bytes input) {
  SecretKey next;
  SecretKey key;
  hkdf(chaining_key_.bytes(), input, next, key);
  chaining_key_.set(next.bytes());
  cipher_.set_key(key.bytes());
}

void SymmetricState::mix_hash(Bytes data) { hash_ = sha256(hash_, data); }

void SymmetricState::mix_key_and_hash(Bytes input) {
  SecretKey next;
  SecretKey hashed;
  SecretKey key;
  hkdf(chaining_key_.bytes(), input, next, hashed, &key);
  chaining_key_.set(next.bytes());
  mix_hash(hashed.bytes());
  cipher_.set_key(key.bytes());
}

bool SymmetricState::seal_and_hash(std::span<std::byte> sealed) {
  if (!cipher_.seal(hash_, sealed)) return false;
  mix_hash(sealed);
  return true;
}

bool SymmetricState::open_and_hash(std::span<std::byte> sealed) {
  const Hash next = sha256(hash_, sealed);
  if (!cipher_.open(hash_, sealed)) return false;
  hash_ = next;
  return true;
}

void SymmetricState::split(CipherState& initiator, CipherState& responder) const {
  SecretKey first;
  SecretKey second;
  hkdf(chaining_key_.bytes(), {}, first, second);
  initiator.set_key(first.bytes());
  responder.set_key(second.bytes());
}

}  // namespace valkyrie::protocol::noise
