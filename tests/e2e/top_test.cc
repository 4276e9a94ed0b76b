// `valkyrie top`, and what a node counts of its services for it.
#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string>
#include <termios.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "protocol/assert.h"
#include "protocol/messages/registry.h"
#include "tests/e2e/json.h"
#include "tests/e2e/programs.h"
#include "valkyrie/client.h"

namespace valkyrie::tests {
namespace {

constexpr int kDeadlineExceeded = 64 + 4;

// A terminal whose keys the test presses.
class Terminal {
 public:
  Terminal()
      : keyboard_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)),
        lines(Socket(::dup(keyboard_.fd()))) {
    VALKYRIE_ASSERT(::grantpt(keyboard_.fd()) == 0 && ::unlockpt(keyboard_.fd()) == 0);
    end_ = Socket(::open(::ptsname(keyboard_.fd()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    VALKYRIE_ASSERT(bool(end_));
  }
  // For standard input and output of a program.
  [[nodiscard]] int fd() const { return end_.fd(); }
  void press(char key) const { VALKYRIE_ASSERT(::write(keyboard_.fd(), &key, 1) == 1); }
  // Whether keys come line by line, and are shown.
  [[nodiscard]] bool is_as_usual() const {
    termios settings{};
    VALKYRIE_ASSERT(::tcgetattr(end_.fd(), &settings) == 0);
    return (settings.c_lflag & ICANON) != 0 && (settings.c_lflag & ECHO) != 0;
  }
  // No program uses it any more: all that is left on it.
  std::string rest() {
    end_.close();
    return lines.rest();
  }

 private:
  using Socket = transport::Socket;

  Socket keyboard_;
  Socket end_;

 public:
  LineReader lines;
};

class Top : public ::testing::Test {
 protected:
  json::object once(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"-o", "json", "top", "--once", "--interval", "20ms"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Ran ran = cli(node, arguments);
    EXPECT_EQ(ran.exit, 0) << ran.err;
    const json::value document = parse_json(ran.out);
    return document.is_object() ? document.as_object() : json::object();
  }
  // What it says of a service once `holds` does.
  template <class Condition>
  json::object service_when(std::string_view name, Condition holds) {
    while (true) {
      const json::object document = once();
      for (const json::value& service : document.at("services").as_array()) {
        const bool is_it = service.at("service").as_string() == name;
        if (is_it && holds(service.as_object())) return service.as_object();
      }
    }
  }
  // What the node has counted of a service once that many calls have ended.
  messages::ServiceStatsView stats(const std::string& name, std::uint64_t calls) {
    while (true) {
      const std::string body = messages::encode(messages::ListServicesRequest{.prefix = name});
      const auto reply = client->call("valkyrie.Registry/List", body).wait();
      const auto list = messages::decode<messages::ListServicesReply>(BytesView(*reply).span());
      const messages::ServiceStatsView& view = list->services.at(0).stats;
      if (view.ok + view.executed + view.maybe_executed + view.not_executed >= calls) return view;
    }
  }

  RunningNode node{{"--shards", "2"}};
  Result<Client> client = Client::connect(node.unix_url);
};

TEST_F(Top, the_node_counts_each_call_once_with_its_outcome_and_time) {
  Cli echo(node, {"serve", "test.Echo", "--echo"});
  ASSERT_TRUE(echo.log.find("serving").has_value());
  Cli picky(node, {"serve", "test.Picky", "--exec", "exit 4"});
  ASSERT_TRUE(picky.log.find("serving").has_value());
  Result<Client> other = Client::connect(node.tcp_url);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(client->call("test.Echo/Run", "x").wait().has_value());
    ASSERT_TRUE(other->call("test.Echo/Run", "x").wait().has_value());
  }
  ASSERT_FALSE(client->call("test.Echo/Walk", "x").wait().has_value());
  ASSERT_FALSE(client->call("test.Picky/Run", "x").wait().has_value());
  const messages::ServiceStatsView view = stats("test.Echo", 101);
  EXPECT_EQ(view.ok, 100u);
  EXPECT_EQ(view.not_executed, 1u);
  EXPECT_EQ(view.executed + view.maybe_executed, 0u);
  std::uint64_t timed = 0;
  for (const messages::LatencyBucket& bucket : view.latency) timed += bucket.count;
  EXPECT_EQ(timed, 101u);
  EXPECT_EQ(stats("test.Picky", 1).executed, 1u);
}

TEST_F(Top, shows_rates_and_latencies_of_what_goes_on) {
  Cli echo(node, {"serve", "test.Echo", "--echo", "--instance", "first"});
  ASSERT_TRUE(echo.log.find("serving").has_value());
  Cli load(node, {"bench", "call", "test.Echo/Run", "--depth", "4", "--time", "300s"});
  const json::object service = service_when("test.Echo", [](const json::object& one) {
    return one.at("calls_per_s").to_number<double>() > 0 && !one.at("p50_us").is_null();
  });
  EXPECT_EQ(service.at("health"), "ready");
  EXPECT_EQ(service.at("ready").to_number<int>(), 1);
  EXPECT_EQ(service.at("errors_per_s").to_number<double>(), 0);
  EXPECT_GE(service.at("p99_us").to_number<double>(), service.at("p50_us").to_number<double>());
  EXPECT_EQ(service.at("instances").as_array().at(0).at("instance"), "first");
  while (once().at("calls_per_s").to_number<double>() == 0) {
  }
  while (once().at("class_bytes_per_s").at("data").to_number<double>() == 0) {
  }
  EXPECT_TRUE(once({"test.Other"}).at("services").as_array().empty());
}

TEST_F(Top, shows_what_is_in_flight_and_what_waits) {
  const Gate gate;
  Cli slow(node, {"serve", "test.Slow", "--exec", gate.wait_command(), "--in-flight", "1"});
  ASSERT_TRUE(slow.log.find("serving").has_value());
  auto first = client->call("test.Slow/Run", "");
  auto second = client->call("test.Slow/Run", "");
  auto third = client->call("test.Slow/Run", "");
  const json::object service = service_when(
      "test.Slow", [](const json::object& one) { return one.at("waiting").to_number<int>() == 2; });
  EXPECT_EQ(service.at("in_flight").to_number<int>(), 1);
  for (int i = 0; i < 3; ++i) gate.open();
  EXPECT_TRUE(std::move(first).wait().has_value());
  EXPECT_TRUE(std::move(second).wait().has_value());
  EXPECT_TRUE(std::move(third).wait().has_value());
  EXPECT_EQ(service_when(
                "test.Slow",
                [](const json::object& one) { return one.at("in_flight").to_number<int>() == 0; })
                .at("waiting")
                .to_number<int>(),
            0);
}

TEST_F(Top, in_a_pipe_prints_each_sample_plainly_until_interrupted) {
  Cli echo(node, {"serve", "test.Echo", "--echo", "--instance", "first"});
  ASSERT_TRUE(echo.log.find("serving").has_value());
  Cli top(node, {"top", "--interval", "10ms", "--sort", "name", "--instances"});
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(top.out.find("valkyrie ").has_value());
    EXPECT_TRUE(says(top.out.find("SERVICE").value_or(""), "P99"));
    EXPECT_TRUE(says(top.out.next().value_or(""), "test.Echo  ready"));
    EXPECT_TRUE(says(top.out.next().value_or(""), "  first"));
    EXPECT_EQ(top.out.next(), "");
  }
  top.signal(SIGINT);
  const Ran ran = finish(top);
  EXPECT_EQ(ran.exit, 130);
  EXPECT_EQ(ran.out.find('\x1b'), std::string::npos);
}

TEST_F(Top, on_a_terminal_obeys_keys_and_leaves_it_as_it_was) {
  Cli echo(node, {"serve", "test.Echo", "--echo", "--instance", "first"});
  ASSERT_TRUE(echo.log.find("serving").has_value());
  Terminal terminal;
  Cli top(node, {"top", "--interval", "10ms"}, {.in_fd = terminal.fd(), .out_fd = terminal.fd()});
  ASSERT_TRUE(terminal.lines.find("sorted by rate").has_value());
  ASSERT_TRUE(terminal.lines.find("SERVICE").has_value());
  EXPECT_FALSE(terminal.is_as_usual());
  terminal.press('s');
  ASSERT_TRUE(terminal.lines.find("sorted by errors").has_value());
  terminal.press('i');
  ASSERT_TRUE(terminal.lines.find("test.Echo").has_value());
  terminal.press('q');
  EXPECT_EQ(top.wait(), 0);
  EXPECT_TRUE(terminal.is_as_usual());
  const std::string rest = terminal.rest();
  EXPECT_TRUE(rest.ends_with("\x1b[?1049l")) << rest;
  EXPECT_TRUE(says(rest, "  first"));
}

TEST_F(Top, on_a_terminal_ends_when_interrupted) {
  Terminal terminal;
  Cli top(node, {"top", "--interval", "10ms"}, {.in_fd = terminal.fd(), .out_fd = terminal.fd()});
  ASSERT_TRUE(terminal.lines.find("sorted by").has_value());
  top.signal(SIGINT);
  EXPECT_EQ(top.wait(), 130);
  EXPECT_TRUE(terminal.is_as_usual());
}

TEST_F(Top, says_what_it_cannot_do) {
  EXPECT_EQ(cli(node, {"top", "--sort", "colour"}).exit, 2);
  EXPECT_EQ(cli(node, {"top", "--interval", "0s"}).exit, 2);
  Cli top(node, {"--timeout", "200ms", "top", "--interval", "10ms"});
  ASSERT_TRUE(top.out.find("SERVICE").has_value());
  node.process.signal(SIGSTOP);
  const Ran ran = finish(top);
  EXPECT_EQ(ran.exit, kDeadlineExceeded) << ran.err;
  EXPECT_TRUE(says(ran.err, "no answer from valkyrie."));
}

}  // namespace
}  // namespace valkyrie::tests
