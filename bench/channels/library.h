// The same work as that of our channels, done by the cryptographic library alone.
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <span>
#include <string>

#include "bench/channels/pair.h"

namespace valkyrie::bench {

// Handshakes.
class LibraryHandshake {
 public:
  virtual ~LibraryHandshake() = default;
  // A whole one, both sides; false if it failed.
  [[nodiscard]] virtual bool run() = 0;
};

// Of TLS: two connections of the library with a pair of its memory BIOs, of the same certificates,
// groups and protocol. Of Noise, which the library does not speak: what both sides ask of X25519
// and ML-KEM-768, and nothing of what hashes and seals. The error is one line for the user.
[[nodiscard]] std::expected<std::unique_ptr<LibraryHandshake>, std::string> library_handshake(
    Suite suite, const Certificates& certificates);

// The AEAD of a suite, record by record.
class LibraryAead {
 public:
  // With a key of zeros, which costs as much as any.
  explicit LibraryAead(Suite suite);
  ~LibraryAead();
  LibraryAead(const LibraryAead&) = delete;
  LibraryAead& operator=(const LibraryAead&) = delete;

  static constexpr std::size_t kTagBytes = 16;
  // Seals text in place, with its tag behind; a record holds both.
  void seal(std::span<std::byte> record);
  // Opens what was sealed, in the same order; false if it is not authentic.
  [[nodiscard]] bool open(std::span<std::byte> record);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace valkyrie::bench
