// Bytes that are wiped before their memory is given back.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace valkyrie::protocol::crypto {

// Overwrites memory in a way that no optimiser takes out.
void wipe(std::span<std::byte> bytes);

// True if both hold the same bytes; the time it takes depends on their length alone.
[[nodiscard]] bool equal_in_constant_time(std::span<const std::byte> a,
                                          std::span<const std::byte> b);

// Fills with bytes of the system's generator, which nobody can guess. Any thread.
void random_bytes(std::span<std::byte> bytes);

// A fixed number of secret bytes: copied only on purpose, wiped at its end.
template <std::size_t kSize>
class Secret {
 public:
  static constexpr std::size_t kBytes = kSize;

  Secret() = default;
  // Copies what it is given.
  explicit Secret(std::span<const std::byte, kSize> bytes) { set(bytes); }
  ~Secret() { wipe(bytes_); }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  // Replaces the bytes.
  void set(std::span<const std::byte, kSize> bytes) {
    for (std::size_t i = 0; i < kSize; ++i) bytes_[i] = bytes[i];
  }
  // The bytes; nobody keeps them longer than this.
  [[nodiscard]] std::span<const std::byte, kSize> bytes() const { return bytes_; }
  // The same, to fill in.
  [[nodiscard]] std::span<std::byte, kSize> bytes() { return bytes_; }

 private:
  std::array<std::byte, kSize> bytes_{};
};

}  // namespace valkyrie::protocol::crypto
