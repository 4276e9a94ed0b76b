// A key, how often it was used, and what it seals: Noise revision 34, section 5.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "protocol/noise/primitives.h"

namespace valkyrie::protocol::noise {

// One direction of a handshake or of a channel. Without a key it passes bytes on as they are.
// Not thread-safe.
class CipherState {
 public:
  explicit CipherState(Cipher cipher) : cipher_(cipher) {}

  // Takes a key, and counts from 0.
  void set_key(std::span<const std::byte, kKeyBytes> key);
  [[nodiscard]] bool has_key() const { return aead_ != nullptr; }
  // Bytes that seal() adds.
  [[nodiscard]] std::size_t overhead() const { return has_key() ? kTagBytes : 0; }
  // The nonce of the next message. The last value is never used: docs/spec/noise.md, "Records".
  [[nodiscard]] std::uint64_t nonce() const { return nonce_; }
  void set_nonce(std::uint64_t nonce) { nonce_ = nonce; }

  // Encrypts in place; `sealed` has room for overhead() bytes behind the text. False when the
  // nonces are used up: then nothing was done.
  [[nodiscard]] bool seal(Bytes associated, std::span<std::byte> sealed);
  // Decrypts in place what is `overhead()` longer than its text. False if it is not authentic, or
  // the nonces are used up; the nonce stays then.
  [[nodiscard]] bool open(Bytes associated, std::span<std::byte> sealed);
  // REKEY of section 4.2: another key from this one; the nonce goes on. REQUIRES: has_key()
  void rekey();

 private:
  Cipher cipher_;
  std::unique_ptr<Aead> aead_;
  std::uint64_t nonce_ = 0;
};

}  // namespace valkyrie::protocol::noise
