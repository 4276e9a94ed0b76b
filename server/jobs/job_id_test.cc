#include "server/jobs/job_id.h"

#include <gtest/gtest.h>

namespace valkyrie::jobs {
namespace {

TEST(JobId, holds_time_node_row_and_version_where_a_uuid_v7_has_them) {
  const JobId id = JobId::make(0x0123456789ab, 0xabc, 0x2fffffffffff, 0xbeef);
  const std::array<std::uint8_t, 16> expected = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x7a, 0xbc,
                                                 0xaf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbe, 0xef};
  EXPECT_EQ(id.bytes(), expected);
  EXPECT_EQ(id.row(), 0x2fffffffffffu);
  EXPECT_EQ(id.unix_ms(), 0x0123456789abu);
}

TEST(JobId, text_is_crockford_base_32_of_the_128_bits) {
  EXPECT_EQ(JobId().text(), "job_00000000000000000000000000");
  const JobId id = JobId::make(0x0123456789ab, 0xabc, 0x2fffffffffff, 0xbeef);
  EXPECT_EQ(id.text(), "job_014d2pf2dbfayazzzzzzzzzfqf");
}

TEST(JobId, sorts_by_time_then_row) {
  const JobId early = JobId::make(1, 5, 9, 0xffff);
  EXPECT_LT(early, JobId::make(2, 0, 1, 0));
  EXPECT_LT(early, JobId::make(1, 5, 10, 0));
}

TEST(JobId, every_prefix_of_the_text_gives_a_range_that_holds_the_id) {
  const JobId id = JobId::make(1700000000000, 7, 42, 99);
  const std::string text = id.text();
  for (std::size_t size = 0; size <= text.size(); ++size) {
    const std::string prefix = text.substr(0, size);
    if (size > 0 && size < 4) continue;  // A part of "job_" is itself read as digits.
    const auto range = JobIdRange::of_prefix(prefix);
    ASSERT_TRUE(range.has_value()) << prefix;
    EXPECT_LE(range->first, id);
    EXPECT_GE(range->last, id);
  }
  const auto whole = JobIdRange::of_prefix(text);
  EXPECT_EQ(whole->first, id);
  EXPECT_EQ(whole->last, id);
}

TEST(JobId, look_alikes_and_capitals_are_read) {
  const auto plain = JobIdRange::of_prefix("job_0110");
  const auto typed = JobIdRange::of_prefix("OIL0");
  ASSERT_TRUE(typed.has_value());
  EXPECT_EQ(plain->first, typed->first);
}

TEST(JobId, what_cannot_begin_an_id_has_no_range) {
  EXPECT_FALSE(JobIdRange::of_prefix("job_8"));  // The first digit holds 3 bits.
  EXPECT_TRUE(JobIdRange::of_prefix("job_7"));
  EXPECT_FALSE(JobIdRange::of_prefix("job_u"));
  EXPECT_FALSE(JobIdRange::of_prefix("job-1"));
  EXPECT_TRUE(JobIdRange::of_prefix(std::string(26, '1')));
  EXPECT_FALSE(JobIdRange::of_prefix(std::string(27, '1')));
}

}  // namespace
}  // namespace valkyrie::jobs
