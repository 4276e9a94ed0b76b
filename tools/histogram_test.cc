#include "tools/histogram.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace valkyrie::tools {
namespace {

TEST(Histogram, empty_reports_zero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.max_ns(), 0U);
  EXPECT_EQ(histogram.value_at_ns(0.5), 0U);
  EXPECT_EQ(histogram.to_json(), "[]");
}

TEST(Histogram, buckets_tile_all_values_without_gap_or_overlap) {
  for (std::size_t index = 0; index < Histogram::kBuckets; ++index) {
    const std::uint64_t highest = Histogram::highest_of(index);
    ASSERT_EQ(Histogram::index_of(highest), index);
    if (highest < Histogram::kValueNsMax) {
      ASSERT_EQ(Histogram::index_of(highest + 1), index + 1);
    }
  }
  EXPECT_EQ(Histogram::highest_of(Histogram::kBuckets - 1), Histogram::kValueNsMax);
}

TEST(Histogram, small_values_are_exact) {
  for (std::uint64_t value = 0; value < 2 * Histogram::kSubBuckets; ++value) {
    EXPECT_EQ(Histogram::highest_of(Histogram::index_of(value)), value);
  }
}

TEST(Histogram, reported_value_is_less_than_one_part_in_128_above) {
  for (std::uint64_t value = 1; value < Histogram::kValueNsMax / 3; value += 1 + value / 7) {
    const std::uint64_t reported = Histogram::highest_of(Histogram::index_of(value));
    ASSERT_GE(reported, value);
    ASSERT_LE((reported - value) * Histogram::kSubBuckets, value) << value;
  }
}

TEST(Histogram, values_beyond_the_largest_count_as_the_largest) {
  Histogram histogram;
  histogram.record(Histogram::kValueNsMax);
  histogram.record(Histogram::kValueNsMax + 1);
  histogram.record(~std::uint64_t{0});
  EXPECT_EQ(histogram.count(), 3U);
  EXPECT_EQ(histogram.max_ns(), Histogram::kValueNsMax);
  EXPECT_EQ(histogram.value_at_ns(1.0), Histogram::kValueNsMax);
}

TEST(Histogram, quantile_is_the_value_of_rank_ceil_quantile_times_count) {
  Histogram histogram;
  for (std::uint64_t value = 1; value <= 100; ++value) histogram.record(value);
  EXPECT_EQ(histogram.value_at_ns(0.0), 1U);
  EXPECT_EQ(histogram.value_at_ns(0.01), 1U);
  EXPECT_EQ(histogram.value_at_ns(0.5), 50U);
  EXPECT_EQ(histogram.value_at_ns(0.505), 51U);
  EXPECT_EQ(histogram.value_at_ns(0.99), 99U);
  EXPECT_EQ(histogram.value_at_ns(1.0), 100U);
  EXPECT_EQ(histogram.value_at_ns(-1.0), 1U);
  EXPECT_EQ(histogram.value_at_ns(2.0), 100U);
}

TEST(Histogram, quantiles_of_a_long_tail_agree_with_sorting) {
  std::mt19937_64 random(20260101);  // NOLINT: a fixed seed makes the test deterministic.
  std::lognormal_distribution<double> latency_ns(11.0, 1.0);
  Histogram histogram;
  std::vector<std::uint64_t> values(100'000);
  for (std::uint64_t& value : values) {
    value = static_cast<std::uint64_t>(latency_ns(random));
    histogram.record(value);
  }
  std::sort(values.begin(), values.end());
  for (const double quantile : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const double rank = std::ceil(quantile * static_cast<double>(values.size()));
    const std::uint64_t exact = values[static_cast<std::size_t>(rank) - 1];
    const std::uint64_t reported = histogram.value_at_ns(quantile);
    EXPECT_GE(reported, exact);
    EXPECT_LE((reported - exact) * Histogram::kSubBuckets, exact) << quantile;
  }
}

TEST(Histogram, quantile_never_exceeds_the_largest_value_recorded) {
  Histogram histogram;
  histogram.record(1'000'000);
  EXPECT_EQ(histogram.value_at_ns(0.5), 1'000'000U);
}

TEST(Histogram, merge_equals_recording_into_one) {
  Histogram one;
  Histogram left;
  Histogram right;
  for (std::uint64_t value = 1; value < 1'000'000; value = value * 3 + 1) {
    one.record(value);
    (value % 2 == 0 ? left : right).record(value);
  }
  left.merge(right);
  EXPECT_EQ(left.count(), one.count());
  EXPECT_EQ(left.max_ns(), one.max_ns());
  EXPECT_EQ(left.to_json(), one.to_json());
}

TEST(Histogram, json_lists_the_filled_buckets_in_microseconds) {
  Histogram histogram;
  histogram.record(100);
  histogram.record(100);
  histogram.record(1'000'000);
  EXPECT_EQ(histogram.to_json(), "[[0.100, 2], [1003.519, 1]]");
}

}  // namespace
}  // namespace valkyrie::tools
