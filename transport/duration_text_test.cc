#include "transport/duration_text.h"

#include <gtest/gtest.h>

namespace valkyrie::transport {
namespace {

using namespace std::chrono_literals;

TEST(DurationText, reads_each_unit) {
  EXPECT_EQ(parse_duration("0s"), protocol::Duration(0));
  EXPECT_EQ(parse_duration("250ms"), protocol::Duration(250ms));
  EXPECT_EQ(parse_duration("30s"), protocol::Duration(30s));
  EXPECT_EQ(parse_duration("5m"), protocol::Duration(5min));
  EXPECT_EQ(parse_duration("24h"), protocol::Duration(24h));
}

TEST(DurationText, says_what_to_write_where_the_unit_is_missing) {
  EXPECT_EQ(parse_duration("30").error(), "30 has no unit; write 30s or 30ms");
}

TEST(DurationText, refuses_what_is_no_length_of_time) {
  for (const char* text :
       {"", "s", "-1s", "1.5s", "30 s", "30S", "1d", "25h", "86401s", "99999999999s", "0x1s"}) {
    EXPECT_FALSE(parse_duration(text).has_value()) << text;
  }
}

TEST(DurationText, writes_what_it_reads) {
  for (const char* text : {"0ms", "1500ms", "30s", "90s", "5m", "2h"}) {
    EXPECT_EQ(duration_text(*parse_duration(text)), text);
  }
}

}  // namespace
}  // namespace valkyrie::transport
