#include "protocol/constants.h"

#include <gtest/gtest.h>

#include "protocol/assert.h"
#include "protocol/time.h"

namespace valkyrie::protocol {
namespace {

TEST(Constants, codes_map_to_the_status_the_caller_sees) {
  EXPECT_EQ(caller_status(CloseCode::protocol_violation), StatusCode::internal);
  EXPECT_EQ(caller_status(CloseCode::too_large), StatusCode::resource_exhausted);
  EXPECT_EQ(caller_status(CloseCode::bad_frame), StatusCode::unavailable);
  EXPECT_EQ(caller_status(static_cast<CloseCode>(60000)), StatusCode::unavailable);
  EXPECT_TRUE(proves_not_executed(CloseCode::refused));
  EXPECT_FALSE(proves_not_executed(CloseCode::draining));
}

TEST(Constants, words_are_those_of_the_table) {
  EXPECT_EQ(to_string(FrameType::stream_open), "stream_open");
  EXPECT_EQ(to_string(CloseCode::keepalive_timeout), "keepalive_timeout");
  EXPECT_EQ(to_string(StatusCode::unauthenticated), "unauthenticated");
  EXPECT_EQ(to_string(static_cast<FrameType>(0xFA)), "unknown");
}

TEST(Constants, control_frames_are_those_without_credit) {
  const auto& cancel = kFrameProperties[0x86];
  EXPECT_TRUE(cancel.control);
  EXPECT_EQ(cancel.qos_max, 0);
  const auto& request = kFrameProperties[0x80];
  EXPECT_FALSE(request.control);
  EXPECT_EQ(request.qos_max, 159);
  EXPECT_TRUE(kFrameProperties[0xFA].ignorable);
  EXPECT_FALSE(kFrameProperties[0x20].known);
}

TEST(AssertDeathTest, a_broken_invariant_names_itself_and_aborts) {
  EXPECT_DEATH(VALKYRIE_ASSERT(1 + 1 == 3), "constants_test.cc:[0-9]+: broken invariant: 1 \\+ 1");
}

}  // namespace
}  // namespace valkyrie::protocol
