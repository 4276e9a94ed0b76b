#include "protocol/constants.h"

#include <gtest/gtest.h>
#include <set>
#include <string_view>

#include "protocol/assert.h"
#include "protocol/properties.h"
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

// Every enumerator has a word of its own; other values have "unknown".
template <typename Enum>
void expect_distinct_words(std::size_t count, unsigned last = 255) {
  std::set<std::string_view> words;
  for (unsigned value = 0; value <= last; ++value) {
    words.insert(to_string(static_cast<Enum>(value)));
  }
  EXPECT_EQ(words.size(), count + 1);
  EXPECT_TRUE(words.contains("unknown"));
}

TEST(Constants, every_value_with_a_name_has_a_word_of_its_own) {
  expect_distinct_words<FrameType>(22);
  expect_distinct_words<CloseCode>(28, 65535);
  expect_distinct_words<Outcome>(3);
  expect_distinct_words<QosClass>(5);
  expect_distinct_words<StreamKind>(4);
  expect_distinct_words<MetadataKey>(20);
  expect_distinct_words<HelloOption>(16, 65535);
  expect_distinct_words<Feature>(1);
  // One of the 17 statuses is called unknown itself.
  expect_distinct_words<StatusCode>(16);
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
