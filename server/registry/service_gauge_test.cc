#include "server/registry/service_gauge.h"

#include <chrono>
#include <gtest/gtest.h>

namespace valkyrie::registry {
namespace {

using protocol::Outcome;
using protocol::StatusCode;
using std::chrono::microseconds;

static_assert(kLatencyBuckets <= messages::kLatencyBucketsMax);

TEST(ServiceGauge, a_bucket_ends_where_the_next_begins) {
  for (std::size_t bucket = 0; bucket + 1 < kLatencyBuckets; ++bucket) {
    const std::uint64_t longest = latency_bucket_max_ns(bucket);
    ASSERT_EQ(latency_bucket(longest), bucket);
    ASSERT_EQ(latency_bucket(longest + 1), bucket + 1);
    if (bucket > 0) {
      const std::uint64_t shortest = latency_bucket_max_ns(bucket - 1) + 1;
      ASSERT_LE(longest - shortest, shortest / kLatencyParts) << "an eighth at most";
    }
  }
  EXPECT_EQ(latency_bucket(0), 0u);
  EXPECT_EQ(latency_bucket(UINT64_MAX), kLatencyBuckets - 1);
  EXPECT_EQ(latency_bucket_max_ns(kLatencyBuckets - 1), UINT64_MAX);
}

TEST(ServiceGauge, sums_up_what_each_shard_has_counted) {
  ServiceGauge gauge(3);
  EXPECT_EQ(gauge.sum(), messages::ServiceStatsView{});
  gauge.of_shard(0).note_call(StatusCode::ok, Outcome::executed, microseconds(100));
  gauge.of_shard(2).note_call(StatusCode::ok, Outcome::executed, microseconds(100));
  gauge.of_shard(2).note_call(StatusCode::aborted, Outcome::executed, microseconds(200));
  gauge.of_shard(2).note_call(StatusCode::unavailable, Outcome::maybe_executed, microseconds(200));
  gauge.of_shard(2).note_call(StatusCode::resource_exhausted, Outcome::not_executed, {});
  gauge.of_shard(0).note_stream();
  gauge.of_shard(0).set_waiting(4);
  gauge.of_shard(2).set_waiting(3);
  gauge.of_shard(0).set_waiting(1);
  const messages::ServiceStatsView sum = gauge.sum();
  EXPECT_EQ(sum.ok, 2u);
  EXPECT_EQ(sum.executed, 1u);
  EXPECT_EQ(sum.maybe_executed, 1u);
  EXPECT_EQ(sum.not_executed, 1u);
  EXPECT_EQ(sum.streams, 1u);
  EXPECT_EQ(sum.waiting, 4u);
  ASSERT_EQ(sum.latency.size(), 3u);
  EXPECT_EQ(sum.latency[0].count, 1u);
  EXPECT_GE(sum.latency[1].up_to_ns, 100'000u);
  EXPECT_EQ(sum.latency[1].count, 2u);
  EXPECT_GE(sum.latency[2].up_to_ns, 200'000u);
  EXPECT_EQ(sum.latency[2].count, 2u);
}

}  // namespace
}  // namespace valkyrie::registry
