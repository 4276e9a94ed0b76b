#include "tools/valkyrie/exec.h"

#include <csignal>
#include <gtest/gtest.h>
#include <string>
#include <thread>

namespace valkyrie::tools {
namespace {

TEST(ExecFilter, passes_input_and_returns_output) {
  const auto reply = exec_filter("tr a-z A-Z", "ada", {});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->text(), "ADA");
}

TEST(ExecFilter, carries_megabytes_both_ways_without_blocking_on_itself) {
  const std::string input(3 << 20, 'x');
  const auto reply = exec_filter("cat", input, {});
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->text() == input);
}

TEST(ExecFilter, output_at_the_limit_passes_and_one_byte_more_does_not) {
  const auto fits = exec_filter("head -c 4194304 /dev/zero", "", {});
  ASSERT_TRUE(fits);
  EXPECT_EQ(fits->size(), kExecOutputBytesMax);
  const auto over = exec_filter("head -c 4194305 /dev/zero", "", {});
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code(), StatusCode::resource_exhausted);
}

TEST(ExecFilter, another_exit_code_is_aborted_with_the_end_of_its_error_text) {
  const auto reply = exec_filter("echo oh no >&2; exit 3", "", {});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code(), StatusCode::aborted);
  EXPECT_EQ(reply.error().message(), "exit 3: oh no");
  EXPECT_EQ(exec_filter("kill -9 $$", "", {}).error().message(), "signal 9");
}

TEST(ExecFilter, a_program_that_ignores_its_input_does_no_harm) {
  std::signal(SIGPIPE, SIG_IGN);
  const std::string input(1 << 20, 'x');
  const auto reply = exec_filter("echo done", input, {});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->text(), "done\n");
}

TEST(ExecFilter, stop_kills_the_whole_group) {
  std::stop_source source;
  std::jthread stopper([&] { source.request_stop(); });
  const auto reply = exec_filter("sleep 1000 & sleep 1000", "", source.get_token());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code(), StatusCode::cancelled);
}

}  // namespace
}  // namespace valkyrie::tools
