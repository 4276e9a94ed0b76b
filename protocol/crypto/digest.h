// SHA-256 and HMAC, of BoringSSL. Spec: FIPS 180-4, RFC 2104.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace valkyrie::protocol::crypto {

// Bytes of a SHA-256.
inline constexpr std::size_t kDigestBytes = 32;

// A SHA-256 or an HMAC of one.
using Digest = std::array<std::byte, kDigestBytes>;

// SHA-256 of the pieces one after another. Any thread.
[[nodiscard]] Digest sha256(std::span<const std::byte> first,
                            std::span<const std::byte> second = {});

// SHA-256 of bytes that come one after another. One thread at a time; copies go on by themselves.
class Sha256 {
 public:
  // Of nothing yet.
  Sha256();
  // Adds bytes.
  void update(std::span<const std::byte> bytes);
  // Of all that was added; more may follow.
  [[nodiscard]] Digest digest() const;

 private:
  alignas(8) std::array<std::byte, 112> state_;
};

// HMAC-SHA-256 of a text under a key of any length; compare with equal_in_constant_time(). Any
// thread.
[[nodiscard]] Digest hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> text);

}  // namespace valkyrie::protocol::crypto
