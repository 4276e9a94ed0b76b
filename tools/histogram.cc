#include "tools/histogram.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>

namespace valkyrie::tools {

void Histogram::merge(const Histogram& other) {
  for (std::size_t index = 0; index < kBuckets; ++index) counts_[index] += other.counts_[index];
  count_ += other.count_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

std::uint64_t Histogram::value_at_ns(double quantile) const {
  if (count_ == 0) return 0;
  const double wanted = std::ceil(std::clamp(quantile, 0.0, 1.0) * static_cast<double>(count_));
  const std::uint64_t rank = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(wanted));
  std::uint64_t seen = 0;
  for (std::size_t index = 0; index < kBuckets; ++index) {
    seen += counts_[index];
    if (seen >= rank) return std::min(highest_of(index), max_ns_);
  }
  return max_ns_;
}

std::string Histogram::to_json() const {
  std::string json = "[";
  for (std::size_t index = 0; index < kBuckets; ++index) {
    if (counts_[index] == 0) continue;
    const double highest_us = static_cast<double>(highest_of(index)) / 1000.0;
    fmt::format_to(std::back_inserter(json), "{}[{:.3f}, {}]", json.size() > 1 ? ", " : "",
                   highest_us, counts_[index]);
  }
  return json + "]";
}

}  // namespace valkyrie::tools
