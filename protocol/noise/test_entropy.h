// Randomness that tests can repeat.
// Private to this folder.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "protocol/noise/primitives.h"

namespace valkyrie::protocol::noise {

// Gives out what it was told to, then hashes of a counter. Ciphertexts of the KEM are the library's
// own, since it takes no randomness from outside; the first may be set.
class TestEntropy final : public Entropy {
 public:
  TestEntropy() = default;
  explicit TestEntropy(std::vector<std::byte> first) : first_(std::move(first)) {}

  void fill(std::span<std::byte> bytes) override {
    const std::size_t told = std::min(bytes.size(), first_.size());
    std::copy_n(first_.begin(), told, bytes.begin());
    first_.erase(first_.begin(), first_.begin() + static_cast<std::ptrdiff_t>(told));
    for (std::size_t at = told; at < bytes.size();) {
      ++counter_;
      const Hash hash = sha256(std::as_bytes(std::span(&counter_, 1)));
      const std::size_t size = std::min(hash.size(), bytes.size() - at);
      std::copy_n(hash.begin(), size, bytes.begin() + static_cast<std::ptrdiff_t>(at));
      at += size;
    }
  }

  bool encapsulate(const EncapsulationKey& key, Encapsulated& out) override {
    return system_entropy().encapsulate(key, out);
  }

 private:
  std::vector<std::byte> first_;
  std::uint64_t counter_ = 0;
};

}  // namespace valkyrie::protocol::noise
