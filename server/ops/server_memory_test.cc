// What idle sessions cost the node.
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <vector>

#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"

namespace valkyrie::server {
namespace {

using testing::is_sanitized;
using testing::RunningNode;
using testing::TestClient;

// Bytes of a process that are in memory and its own.
std::size_t memory_of(pid_t process) {
  std::ifstream status(fmt::format("/proc/{}/status", process));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) {
      return static_cast<std::size_t>(std::strtoull(line.c_str() + 8, nullptr, 10)) * 1024;
    }
  }
  return 0;
}

using Clients = std::vector<std::unique_ptr<TestClient>>;

// Clients that the limit of open files allows, at most so many.
std::size_t clients_max(std::size_t most) {
  rlimit limit{};
  EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  return std::min<std::size_t>(most, limit.rlim_max - 256);
}

bool add_client(Clients& clients, transport::Reactor& reactor, const RunningNode& node,
                const protocol::SessionConfig& config = {}) {
  clients.push_back(std::make_unique<TestClient>(reactor, node.unix_url, config));
  return clients.back()->wait_ready();
}

TEST(Memory, of_an_idle_session_is_about_two_kilobytes) {
  if (is_sanitized()) GTEST_SKIP() << "a sanitizer's allocator has sizes of its own";
  constexpr std::size_t kBytesMax = 2 * 1024 + 320;  // The target is 2 KiB; heaps differ.
  const std::size_t count = clients_max(10'000);
  auto reactor = transport::Reactor::create();
  ASSERT_TRUE(reactor.has_value());
  RunningNode node;
  Clients clients;
  // The first ones pay for tables and pools.
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(add_client(clients, **reactor, node));
  const std::size_t before = memory_of(node.process.pid());
  for (std::size_t i = 100; i < count; ++i) {
    ASSERT_TRUE(add_client(clients, **reactor, node)) << i;
  }
  const std::size_t each = (memory_of(node.process.pid()) - before) / (count - 100);
  RecordProperty("bytes_per_idle_session", static_cast<int>(each));
  EXPECT_LT(each, kBytesMax);
  fmt::print("{} idle sessions, {} bytes each\n", count, each);
}

std::size_t streams_to(const Clients& instances) {
  std::size_t streams = 0;
  for (const auto& instance : instances) streams += instance->streams_opened;
  return streams;
}

// One call of each client, on the stream it has or opens; as many at a time as may be.
void call_once(Clients& clients, std::vector<std::uint32_t>& streams, Clients& instances) {
  constexpr std::size_t kAtOnce = 500;
  for (std::size_t begin = 0; begin < clients.size(); begin += kAtOnce) {
    const std::size_t end = std::min(begin + kAtOnce, clients.size());
    for (std::size_t i = begin; i < end; ++i) {
      if (i == streams.size()) {
        streams.push_back(clients[i]->start_call("test.Many", "Run", "x"));
      } else {
        clients[i]->start_call(streams[i], "x");
      }
    }
    for (std::size_t i = begin; i < end; ++i) {
      ASSERT_TRUE(clients[i]->turn_until([&] {
        for (const auto& instance : instances) {
          while (!instance->requests.empty()) instance->answer("y");
        }
        return !clients[i]->answers.empty();
      }));
      ASSERT_EQ(clients[i]->answers.front().code, protocol::StatusCode::ok);
      clients[i]->answers.clear();
    }
  }
}

TEST(Memory, of_a_clients_way_to_an_instance_is_some_hundred_bytes) {
  if (is_sanitized()) GTEST_SKIP() << "a sanitizer's allocator has sizes of its own";
  constexpr std::size_t kBytesMax = 640;  // Some 480, and what the allocator rounds up to.
  // No multiple of the instances: so round robin gives a client another one each time.
  const std::size_t count = clients_max(10'000) / 10 * 10 + 1;
  auto reactor = transport::Reactor::create();
  ASSERT_TRUE(reactor.has_value());
  RunningNode node({"--set", "services.defaults.balance=round_robin"});
  protocol::SessionConfig serving;
  serving.limits.peer_streams_max = protocol::kServiceStreamsDefault;
  Clients instances;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(add_client(instances, **reactor, node, serving));
    ASSERT_TRUE(instances.back()->serve("test.Many"));
  }
  Clients clients;
  for (std::size_t i = 0; i < count; ++i) ASSERT_TRUE(add_client(clients, **reactor, node));
  std::vector<std::uint32_t> streams;
  const std::size_t before = memory_of(node.process.pid());
  call_once(clients, streams, instances);
  const std::size_t first = memory_of(node.process.pid()) - before;
  const std::size_t opened = streams_to(instances);
  EXPECT_EQ(opened, count);
  for (int i = 1; i < 10; ++i) call_once(clients, streams, instances);
  const std::size_t more = streams_to(instances) - opened;
  ASSERT_GT(more, 8 * count);
  const std::size_t each = (memory_of(node.process.pid()) - before - first) / more;
  RecordProperty("bytes_per_upstream_stream", static_cast<int>(each));
  EXPECT_LT(each, kBytesMax);
  fmt::print("{} clients: {} bytes for a stream with its first instance, {} for each of {} more\n",
             count, first / count, each, more);
}

}  // namespace
}  // namespace valkyrie::server
