#include "tools/valkyrie/top_view.h"

#include <gtest/gtest.h>

#include "tools/valkyrie/screen.h"

namespace valkyrie::tools {
namespace {

using namespace std::chrono_literals;
using messages::InstanceState;

// A service with one instance.
messages::ServiceView service(std::string name, messages::ServiceStatsView stats,
                              std::uint64_t calls = 0) {
  messages::ServiceView view{.name = std::move(name)};
  view.stats = std::move(stats);
  view.instances.push_back(
      {.instance = "one", .concurrency = 8, .in_flight = 3, .calls = calls, .failures = calls / 2});
  return view;
}

TopSample sample(Duration at, std::vector<messages::ServiceView> services, std::uint64_t calls = 0,
                 std::uint64_t bytes = 0) {
  TopSample made{.at = at};
  made.node.node = "n-1";
  made.node.counts = {{"connections", 5}, {"calls", calls}, {"bytes_job", bytes}};
  made.services.services = std::move(services);
  return made;
}

TEST(TopView, rates_are_what_counts_have_grown_by_in_a_second) {
  const TopView view = top_view(
      sample(10s, {service("a", {.ok = 100, .executed = 10, .streams = 1}, 50)}, 1000, 5000),
      sample(12s,
             {service("a",
                      {.ok = 120,
                       .not_executed = 2,
                       .maybe_executed = 2,
                       .executed = 12,
                       .streams = 5,
                       .waiting = 7},
                      60)},
             1100, 9000));
  EXPECT_EQ(view.node, "n-1");
  EXPECT_EQ(view.connections, 5u);
  EXPECT_DOUBLE_EQ(view.calls, 50);
  EXPECT_DOUBLE_EQ(view.class_bytes[2], 2000);
  EXPECT_DOUBLE_EQ(view.streams, 2);
  ASSERT_EQ(view.services.size(), 1u);
  const TopService& a = view.services[0];
  EXPECT_DOUBLE_EQ(a.calls, 13);
  EXPECT_DOUBLE_EQ(a.errors, 3);
  EXPECT_DOUBLE_EQ(a.not_executed, 1);
  EXPECT_EQ(a.waiting, 7u);
  EXPECT_EQ(a.in_flight, 3u);
  EXPECT_EQ(a.ready, 1u);
  ASSERT_EQ(a.instances.size(), 1u);
  EXPECT_DOUBLE_EQ(a.instances[0].calls, 5);
  EXPECT_DOUBLE_EQ(a.instances[0].failures, 2.5);
}

TEST(TopView, what_came_in_between_or_began_anew_counts_from_zero) {
  const TopView view =
      top_view(sample(0s, {service("old", {.ok = 1000})}, 1000),
               sample(1s, {service("new", {.ok = 5}), service("old", {.ok = 7})}, 3));
  EXPECT_DOUBLE_EQ(view.calls, 3);
  EXPECT_DOUBLE_EQ(view.services[0].calls, 5);
  EXPECT_DOUBLE_EQ(view.services[1].calls, 7);
}

TEST(TopView, percentiles_are_those_of_the_calls_in_between) {
  const messages::ServiceStatsView before{.ok = 1000, .latency = {{1'000'000, 1000}}};
  const messages::ServiceStatsView after{
      .ok = 1100, .latency = {{1000, 50}, {2000, 49}, {1'000'000, 1000}, {UINT64_MAX, 1}}};
  TopView view = top_view(sample(0s, {service("a", before)}), sample(1s, {service("a", after)}));
  EXPECT_EQ(view.services[0].p50, 1000ns);
  EXPECT_EQ(view.services[0].p99, 2000ns);
  view = top_view(sample(0s, {service("a", after)}), sample(1s, {service("a", after)}));
  EXPECT_EQ(view.services[0].p50, std::nullopt);
  EXPECT_EQ(view.services[0].p99, std::nullopt);
}

TEST(TopView, services_are_sorted_by_the_largest_then_by_name) {
  TopView view;
  view.services = {{.name = "c", .calls = 1, .waiting = 2},
                   {.name = "b", .calls = 2, .errors = 1},
                   {.name = "a", .calls = 1, .p99 = 5ns, .in_flight = 9}};
  const auto order = [&](TopSort sort) {
    sort_services(view, sort);
    std::string names;
    for (const TopService& one : view.services) names += one.name;
    return names;
  };
  EXPECT_EQ(order(TopSort::rate), "bac");
  EXPECT_EQ(order(TopSort::errors), "bac");
  EXPECT_EQ(order(TopSort::queue), "cab");
  EXPECT_EQ(order(TopSort::latency), "abc");
  EXPECT_EQ(order(TopSort::in_flight), "abc");
  EXPECT_EQ(order(TopSort::name), "abc");
}

TEST(TopView, each_key_follows_another_and_has_a_word) {
  TopSort sort = TopSort::name;
  for (int i = 0; i < 6; ++i) {
    EXPECT_NE(to_string(sort), "unknown");
    sort = next(sort);
  }
  EXPECT_EQ(sort, TopSort::name);
}

TEST(TopView, lines_have_a_row_for_each_service_and_if_wanted_for_each_instance) {
  TopView view{.node = "n-1", .version = "1.0"};
  view.services = {{.name = "text.Upper",
                    .ready = 1,
                    .calls = 1234,
                    .p50 = 15us,
                    .instances = {{.name = "i-1", .in_flight = 2, .concurrency = 4},
                                  {.name = "i-2", .state = InstanceState::ejected}}}};
  const std::vector<std::string> lines = top_lines(view, false);
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_TRUE(lines[0].starts_with("n-1  valkyrie 1.0"));
  EXPECT_TRUE(lines[4].starts_with("SERVICE"));
  EXPECT_TRUE(lines[5].starts_with("text.Upper  partly  1/2    1.2 k/s"));
  EXPECT_NE(lines[5].find("15.0us"), std::string::npos);
  const std::vector<std::string> all = top_lines(view, true);
  ASSERT_EQ(all.size(), 8u);
  EXPECT_TRUE(all[6].starts_with("  i-1"));
  EXPECT_NE(all[6].find("2/4"), std::string::npos);
  EXPECT_NE(all[7].find("ejected"), std::string::npos);
}

TEST(TopView, json_has_null_for_a_latency_that_nothing_had) {
  TopView view{.node = "n-1"};
  view.services = {{.name = "a", .p50 = 1500ns}};
  const json::object document = top_json(view);
  const json::object& first = document.at("services").as_array()[0].as_object();
  EXPECT_DOUBLE_EQ(first.at("p50_us").as_double(), 1.5);
  EXPECT_TRUE(first.at("p99_us").is_null());
  EXPECT_EQ(document.at("class_bytes_per_s").as_object().size(), 5u);
}

TEST(Screen, cuts_text_between_characters) {
  EXPECT_EQ(first_characters("abc", 2), "ab");
  EXPECT_EQ(first_characters("abc", 3), "abc");
  EXPECT_EQ(first_characters("a\xc3\xa4z", 2), "a\xc3\xa4");
  EXPECT_EQ(first_characters("a\xc3\xa4z", 1), "a");
  EXPECT_EQ(first_characters("", 5), "");
}

}  // namespace
}  // namespace valkyrie::tools
