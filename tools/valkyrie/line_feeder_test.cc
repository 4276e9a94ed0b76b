#include "tools/valkyrie/line_feeder.h"

#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace valkyrie::tools {
namespace {

using Outcome = LineFeeder::Outcome;

class Lines : public testing::Test {
 protected:
  void say(std::string_view text) {
    ASSERT_EQ(write(pipe.writing(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // The next line, or what came instead of one.
  std::pair<Outcome, std::string> next() {
    std::string_view line;
    const Outcome outcome = lines.next(line);
    return {outcome, std::string(line)};
  }

  Pipe pipe;
  LineFeeder lines{pipe.reading(), 8};
};

TEST_F(Lines, come_one_by_one_without_their_ends) {
  say("one\n\ntwo\nthr");
  EXPECT_EQ(next(), (std::pair{Outcome::line, std::string("one")}));
  EXPECT_EQ(next(), (std::pair{Outcome::line, std::string()}));
  EXPECT_EQ(next(), (std::pair{Outcome::line, std::string("two")}));
  say("ee\n");
  EXPECT_EQ(next(), (std::pair{Outcome::line, std::string("three")}));
}

TEST_F(Lines, the_last_one_may_lack_its_end) {
  say("last");
  pipe.close_writing();
  EXPECT_EQ(next(), (std::pair{Outcome::line, std::string("last")}));
  EXPECT_EQ(next().first, Outcome::end);
  EXPECT_EQ(next().first, Outcome::end);
}

TEST_F(Lines, one_at_the_limit_passes_and_one_byte_more_does_not) {
  say("12345678\n123456789");
  EXPECT_EQ(next(), (std::pair{Outcome::line, std::string("12345678")}));
  EXPECT_EQ(next().first, Outcome::too_long);
}

TEST_F(Lines, stop_ends_whoever_waits) {
  std::jthread stopper([this] { lines.stop(); });
  EXPECT_EQ(next().first, Outcome::end);
}

}  // namespace
}  // namespace valkyrie::tools
