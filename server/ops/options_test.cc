#include "server/ops/options.h"

#include <gtest/gtest.h>
#include <vector>

namespace valkyrie::server {
namespace {

using namespace std::chrono_literals;

const Environment kEnvironment{.home = "/users/ada", .user = 1000, .cores = 6};

std::expected<ServerOptions, EarlyExit> parse(const std::vector<const char*>& arguments,
                                              const Environment& environment = kEnvironment) {
  return parse_options(arguments, environment);
}

// The error of a wrong command line, which names `part`.
void expect_usage_error(const std::vector<const char*>& arguments, std::string_view part) {
  const auto options = parse(arguments);
  ASSERT_FALSE(options.has_value()) << part;
  EXPECT_EQ(options.error().code, 2);
  EXPECT_TRUE(options.error().text.starts_with("error: ")) << options.error().text;
  EXPECT_NE(options.error().text.find(part), std::string::npos) << options.error().text;
}

TEST(Options, without_arguments_take_loopback_and_the_users_socket) {
  const auto options = parse({});
  ASSERT_TRUE(options.has_value()) << options.error().text;
  ASSERT_EQ(options->listen.size(), 2U);
  EXPECT_EQ(transport::to_string(options->listen[0]), "valkyrie://127.0.0.1:22091");
  EXPECT_EQ(transport::to_string(options->listen[1]), "unix:///tmp/valkyrie-1000/node.sock");
  EXPECT_EQ(options->shared_parent, "/tmp/valkyrie-1000") << "anybody may write to /tmp";
  EXPECT_EQ(options->shards, 6U);
  EXPECT_EQ(options->state_directory, "/users/ada/.local/state/valkyrie");
  EXPECT_EQ(options->requests_in_flight_max, 4096U);
  EXPECT_EQ(options->drain_grace, protocol::Duration(30s));
  EXPECT_EQ(options->handshake_timeout, protocol::Duration(10s));
  EXPECT_FALSE(options->ready_fd.has_value());
}

TEST(Options, take_what_is_given) {
  const auto options = parse({"--listen",
                              "unix:@a",
                              "--listen=valkyrie://127.0.0.1:0",
                              "--listen",
                              "valkyrie://127.0.0.1:0",
                              "--shards",
                              "2",
                              "--state",
                              "/s",
                              "--in-flight",
                              "7",
                              "--half-open",
                              "9",
                              "--handshake-timeout",
                              "500ms",
                              "--drain-grace",
                              "2m",
                              "--log-level",
                              "warn",
                              "-o",
                              "json",
                              "--ready-fd",
                              "3",
                              "--print-doors",
                              "--check"});
  ASSERT_TRUE(options.has_value()) << options.error().text;
  EXPECT_EQ(options->listen.size(), 3U);
  EXPECT_EQ(options->shared_parent, "");
  EXPECT_EQ(options->shards, 2U);
  EXPECT_EQ(options->state_directory, "/s");
  EXPECT_EQ(options->requests_in_flight_max, 7U);
  EXPECT_EQ(options->half_open_max, 9U);
  EXPECT_EQ(options->handshake_timeout, protocol::Duration(500ms));
  EXPECT_EQ(options->drain_grace, protocol::Duration(2min));
  EXPECT_EQ(options->log_level, LogLevel::warn);
  EXPECT_EQ(options->log_format, LogFormat::json);
  EXPECT_EQ(options->ready_fd, 3);
  EXPECT_TRUE(options->print_doors);
  EXPECT_TRUE(options->check);
}

TEST(Options, keep_no_state_where_ephemeral) {
  const auto options = parse({"--ephemeral"});
  ASSERT_TRUE(options.has_value());
  EXPECT_EQ(options->state_directory, "");
}

TEST(Options, need_leave_for_plain_addresses_beyond_this_machine) {
  expect_usage_error({"--listen", "valkyrie://0.0.0.0:1"}, "--insecure");
  EXPECT_TRUE(parse({"--listen", "valkyrie://0.0.0.0:1", "--insecure"}).has_value());
}

TEST(Options, name_the_nearest_of_an_unknown_option) {
  expect_usage_error({"--lisen", "x"}, "unknown option --lisen; did you mean --listen?");
  expect_usage_error({"--drain-grase=3s"}, "did you mean --drain-grace?");
  expect_usage_error({"--quux"}, "unknown option --quux\n");
  expect_usage_error({"start"}, "unexpected argument \"start\"");
  expect_usage_error({"--listen", "unix:@a", "unix:@b"}, "unexpected argument \"unix:@b\"");
}

TEST(Options, refuse_values_on_both_sides_of_their_bounds) {
  EXPECT_TRUE(parse({"--shards", "1"}).has_value());
  EXPECT_TRUE(parse({"--shards", "64"}).has_value());
  expect_usage_error({"--shards", "0"}, "--shards");
  expect_usage_error({"--shards", "65"}, "--shards");
  EXPECT_TRUE(parse({"--in-flight", "1"}).has_value());
  EXPECT_TRUE(parse({"--in-flight", "65536"}).has_value());
  expect_usage_error({"--in-flight", "0"}, "--in-flight");
  expect_usage_error({"--in-flight", "65537"}, "--in-flight");
  expect_usage_error({"--half-open", "0"}, "--half-open");
  EXPECT_TRUE(parse({"--handshake-timeout", "100ms"}).has_value());
  EXPECT_TRUE(parse({"--handshake-timeout", "30s"}).has_value());
  expect_usage_error({"--handshake-timeout", "99ms"}, "between 100ms and 30s");
  expect_usage_error({"--handshake-timeout", "31s"}, "between 100ms and 30s");
  EXPECT_TRUE(parse({"--drain-grace", "0s"}).has_value());
  EXPECT_TRUE(parse({"--drain-grace", "10m"}).has_value());
  expect_usage_error({"--drain-grace", "11m"}, "between 0ms and 10m");
  expect_usage_error({"--drain-grace", "30"}, "30 has no unit");
  expect_usage_error({"--log-level", "loud"}, "--log-level");
  expect_usage_error({"-o", "xml"}, "--output");
}

TEST(Options, read_settings_by_their_path) {
  const auto options =
      parse({"--set", "services.defaults.balance=round_robin",
             "--set=services.\"hello.*\".deadline=5s", "--set", "node.labels.zone=a=b"});
  ASSERT_TRUE(options.has_value()) << options.error().text;
  const auto settings = options->rules->settings_of("hello.Greeter");
  EXPECT_EQ(settings.balance, messages::Balance::round_robin);
  EXPECT_EQ(settings.deadline, protocol::Duration(5s));
  EXPECT_EQ(options->rules->node_label("zone"), "a=b");
  EXPECT_NE(parse({})->rules, nullptr);
}

TEST(Options, name_what_is_wrong_with_a_setting) {
  expect_usage_error({"--set", "services.defaults.balance"}, "write KEY=VALUE");
  expect_usage_error(
      {"--set", "services.defaults.balanse=weighted"},
      "--set: unknown key \"balanse\" in services.defaults; did you mean \"balance\"?");
  expect_usage_error({"--set", "services.defaults.deadline=30"}, "30 has no unit");
  expect_usage_error({"--set", "node.labels.zone=a", "--set", "node.labels.zone=b"},
                     "node.labels.zone is given twice");
}

TEST(Options, refuse_what_contradicts_itself) {
  expect_usage_error({"--state", "/s", "--ephemeral"}, "--ephemeral");
  expect_usage_error({"--listen", "unix:@a", "--listen", "unix:@a"}, "given twice");
}

TEST(Options, name_what_is_wrong_with_an_address) {
  expect_usage_error({"--listen", "ftp://x"}, "ftp");
  expect_usage_error({"--listen", "valkyrie://127.0.0.1:99999"}, "99999");
  expect_usage_error({"--listen", "unix://relative"}, "relative");
  expect_usage_error({"--listen", ""}, "--listen");
}

TEST(Options, help_and_version_go_to_stdout) {
  const auto help = parse({"--help"});
  ASSERT_FALSE(help.has_value());
  EXPECT_EQ(help.error().code, 0);
  for (const char* part : {"Examples:", "--listen", "--print-doors", "Exit codes:"}) {
    EXPECT_NE(help.error().text.find(part), std::string::npos) << part;
  }
  const auto version = parse({"--version"});
  ASSERT_FALSE(version.has_value());
  EXPECT_EQ(version.error().code, 0);
  EXPECT_TRUE(version.error().text.starts_with("valkyrie-server "));
}

TEST(Options, settings_of_the_audit_log_need_one) {
  EXPECT_NE(parse({"--set", "audit.sync=record"}).error().text.find("--audit-log"),
            std::string::npos);
  const auto with = parse({"--audit-log", "/log", "--set", "audit.sync=record"});
  ASSERT_TRUE(with);
  EXPECT_EQ(with->audit_directory, "/log");
  EXPECT_EQ(with->audit.sync, AuditSync::record);
}

}  // namespace
}  // namespace valkyrie::server
