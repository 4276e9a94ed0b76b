#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace valkyrie::tools {

// Counts of latencies in log-linear buckets: every power of two is cut into kSubBuckets equal
// parts, so a reported value is at most 1/128 (0.8 %) above the recorded one, at any magnitude, in
// 36 KiB.
//
// Recording allocates nothing and costs a few instructions. Not thread-safe: one thread owns one
// histogram and merges it into another at the end.
class Histogram {
 public:
  // Equal parts of one power of two.
  static constexpr std::uint32_t kSubBuckets = 128;
  // Largest value told apart, 2^40 - 1 ns (18 minutes); larger ones are counted as this one.
  static constexpr std::uint64_t kValueNsMax = (std::uint64_t{1} << 40) - 1;

  // Values of at most this many bits, those below 2 * kSubBuckets, have a bucket each.
  static constexpr unsigned kExactBits = 8;
  // Buckets in all: the exact ones, then kSubBuckets for every further bit.
  static constexpr std::size_t kBuckets = 2 * kSubBuckets + (40 - kExactBits) * kSubBuckets;

  // Counts one value in nanoseconds.
  void record(std::uint64_t value_ns) {
    if (value_ns > kValueNsMax) value_ns = kValueNsMax;
    ++counts_[index_of(value_ns)];
    ++count_;
    if (value_ns > max_ns_) max_ns_ = value_ns;
  }

  // Adds every count of `other`.
  void merge(const Histogram& other);

  // The largest value of the bucket in which the value of rank ceil(quantile * count()) lies, never
  // above max_ns(); 0 when nothing was recorded. `quantile` outside [0, 1] is taken as the nearer
  // end.
  [[nodiscard]] std::uint64_t value_at_ns(double quantile) const;

  // Values recorded.
  [[nodiscard]] std::uint64_t count() const { return count_; }
  // Largest value recorded, exact up to kValueNsMax; 0 when nothing was recorded.
  [[nodiscard]] std::uint64_t max_ns() const { return max_ns_; }

  // The non-empty buckets as a JSON array of [largest value in microseconds, count], ascending.
  [[nodiscard]] std::string to_json() const;

  // Bucket of a value. REQUIRES: value_ns <= kValueNsMax
  static constexpr std::size_t index_of(std::uint64_t value_ns) {
    const unsigned shift = shift_of(value_ns);
    return std::size_t{shift} * kSubBuckets + static_cast<std::size_t>(value_ns >> shift);
  }
  // Largest value that lies in bucket `index`. REQUIRES: index < kBuckets
  static constexpr std::uint64_t highest_of(std::size_t index) {
    if (index < 2 * kSubBuckets) return index;
    const std::size_t shift = index / kSubBuckets - 1;
    const std::uint64_t part = index - shift * kSubBuckets;
    return ((part + 1) << shift) - 1;
  }

 private:
  // How many low bits the bucket of a value ignores: none below 2 * kSubBuckets.
  static constexpr unsigned shift_of(std::uint64_t value_ns) {
    const unsigned bits = 64U - static_cast<unsigned>(__builtin_clzll(value_ns | 1));
    return bits <= kExactBits ? 0 : bits - kExactBits;
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ns_ = 0;
};

}  // namespace valkyrie::tools
