// `valkyrie stream` and `valkyrie serve --stream` against a node.
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>
#include <vector>

#include "tests/e2e/json.h"
#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

constexpr int kDeadlineExceeded = 64 + 4;
constexpr int kResourceExhausted = 64 + 8;
constexpr int kAborted = 64 + 10;
constexpr int kUnimplemented = 64 + 12;
constexpr int kUnavailable = 64 + 14;

class StreamCommand : public ::testing::Test {
 protected:
  Ran stream(std::vector<std::string> arguments, std::string_view input) {
    arguments.insert(arguments.begin(), "stream");
    return run(arguments, input);
  }
  Ran run(const std::vector<std::string>& arguments, std::string_view input) {
    const transport::Socket file(input_of(input));
    return cli(node, arguments, {.in_fd = file.fd()});
  }

  RunningNode node{{"--shards", "3"}};
  Cli echo{node, {"serve", "test.Echo", "--echo", "--stream"}};
  bool ready = echo.log.find("serving test.Echo/Run (stream)").has_value();
};

TEST_F(StreamCommand, lines_in_are_messages_and_messages_lines_out) {
  const Ran ran = stream({"test.Echo/Run"}, "one\n\ntwo\nno end");
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_EQ(ran.out, "one\n\ntwo\nno end\n");
  EXPECT_EQ(ran.err, "");
  EXPECT_EQ(stream({"test.Echo/Run"}, "").out, "");
  const std::string many = counted_lines(20'000);
  EXPECT_TRUE(stream({"test.Echo/Run"}, many).out == many);
}

TEST_F(StreamCommand, other_forms_are_objects_or_bytes) {
  const Ran objects = run({"-o", "jsonl", "stream", "test.Echo/Run"}, "x\n");
  const json::value object = parse_json(objects.out);
  EXPECT_EQ(object.at("message").as_string(), "x");
  EXPECT_EQ(object.at("bytes").as_int64(), 1);
  EXPECT_EQ(run({"-o", "raw", "stream", "test.Echo/Run"}, "one\ntwo\n").out, "onetwo");
}

TEST_F(StreamCommand, a_program_serves_each_stream_by_itself) {
  Cli serve(node, {"serve", "text.Count", "--stream", "--exec",
                   "n=0; while read -r line; do n=$((n+1)); echo $n:$line; done; echo bye"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  EXPECT_EQ(stream({"text.Count/Run"}, "a\nb\n").out, "1:a\n2:b\nbye\n");
  EXPECT_EQ(stream({"text.Count/Run"}, "c\n").out, "1:c\nbye\n");
}

TEST_F(StreamCommand, a_program_that_fails_ends_its_stream_after_what_it_wrote) {
  Cli serve(node, {"serve", "test.Fails", "--stream", "--exec",
                   "read -r line; echo got $line; echo bad luck >&2; exit 9"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  const Ran ran = stream({"test.Fails/Run"}, "x\ny\n");
  EXPECT_EQ(ran.exit, kAborted);
  EXPECT_EQ(ran.out, "got x\n");
  EXPECT_TRUE(says(ran.err, "exit 9: bad luck"));
}

TEST_F(StreamCommand, a_program_that_writes_much_waits_for_its_reader) {
  Cli serve(node, {"serve", "test.Much", "--stream", "--exec", "seq 20000"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  EXPECT_TRUE(stream({"test.Much/Run"}, "").out == counted_lines(20'000));
}

TEST_F(StreamCommand, interrupt_cancels_and_kills_the_program) {
  const std::string mark = unique_mark();
  Cli serve(node, {"serve", "test.Slow", "--stream", "--exec",
                   fmt::format("echo begun; sleep 1000 & sleep 1000 # {}", mark)});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  Cli streaming(node, {"stream", "test.Slow/Run"});
  ASSERT_EQ(streaming.out.next(), "begun");
  streaming.signal(SIGINT);
  EXPECT_EQ(streaming.wait(), 130);
  serve.signal(SIGINT);  // Its program is gone, so that it need not wait.
  EXPECT_EQ(serve.wait(), 0);
  EXPECT_TRUE(wait_gone(mark));
}

TEST_F(StreamCommand, a_deadline_ends_it) {
  const Ran ran = stream({"test.Echo/Run", "--deadline", "50ms"}, "");
  EXPECT_EQ(ran.exit, 0) << "the input has ended before";
  const Gate gate;  // Input without end.
  const transport::Socket input(::open(gate.path().c_str(), O_RDWR | O_CLOEXEC));
  const Ran late =
      cli(node, {"stream", "test.Echo/Run", "--deadline", "50ms"}, {.in_fd = input.fd()});
  EXPECT_EQ(late.exit, kDeadlineExceeded);
  EXPECT_TRUE(says(late.err, "test.Echo/Run"));
}

TEST_F(StreamCommand, what_cannot_be_streamed_is_named) {
  EXPECT_EQ(stream({"test.Nobody/Run"}, "").exit, kUnavailable);
  EXPECT_EQ(stream({"test.Echo/Walk"}, "").exit, kUnimplemented);
  const Ran called = cli(node, {"call", "test.Echo/Run", "x"});
  EXPECT_EQ(called.exit, kUnimplemented);
  EXPECT_TRUE(says(called.err, "stream"));
  const Ran large = stream({"test.Echo/Run"}, std::string((16u << 20) + 1, 'x'));
  EXPECT_EQ(large.exit, kResourceExhausted);
  EXPECT_TRUE(says(large.err, "line"));
}

}  // namespace
}  // namespace valkyrie::tests
