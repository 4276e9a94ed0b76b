// The running hash and key of a handshake: Noise revision 34, section 5.2.
#pragma once

#include <span>
#include <string_view>

#include "protocol/noise/cipher_state.h"
#include "protocol/noise/primitives.h"

namespace valkyrie::protocol::noise {

// What both sides of a handshake have in common after each token. Not thread-safe.
class SymmetricState {
 public:
  SymmetricState(std::string_view protocol_name, Cipher cipher);

  // MixKey: a shared secret goes into the key.
  void mix_key(Bytes input);
  // MixHash: what was said goes into the hash.
  void mix_hash(Bytes data);
  // MixKeyAndHash: a psk goes into both.
  void mix_key_and_hash(Bytes input);
  // Encrypts in place, if there is a key by now, and mixes in what came of it.
  [[nodiscard]] bool seal_and_hash(std::span<std::byte> sealed);
  // Decrypts in place, after mixing in what it is given.
  [[nodiscard]] bool open_and_hash(std::span<std::byte> sealed);
  // Bytes that seal_and_hash() adds now.
  [[nodiscard]] std::size_t overhead() const { return cipher_.overhead(); }
  // The hash of all that was said.
  [[nodiscard]] const Hash& hash() const { return hash_; }
  // Keys of the two directions: the initiator's, the responder's.
  void split(CipherState& initiator, CipherState& responder) const;

 private:
  crypto::Secret<kHashBytes> chaining_key_;
  Hash hash_{};
  CipherState cipher_;
};

}  // namespace valkyrie::protocol::noise
