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

TEST(Memory, of_an_idle_session_is_about_two_kilobytes) {
  if (is_sanitized()) GTEST_SKIP() << "a sanitizer's allocator has sizes of its own";
  constexpr std::size_t kBytesMax = 2 * 1024 + 256;  // The target is 2 KiB; heaps differ.
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const std::size_t count = std::min<std::size_t>(10'000, limit.rlim_max - 256);
  auto reactor = transport::Reactor::create();
  ASSERT_TRUE(reactor.has_value());
  RunningNode node;
  std::vector<std::unique_ptr<TestClient>> clients;
  const auto add = [&] {
    clients.push_back(std::make_unique<TestClient>(**reactor, node.unix_url));
    return clients.back()->wait_ready();
  };
  // The first ones pay for tables and pools.
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(add());
  const std::size_t before = memory_of(node.process.pid());
  for (std::size_t i = 100; i < count; ++i) ASSERT_TRUE(add()) << i;
  const std::size_t each = (memory_of(node.process.pid()) - before) / (count - 100);
  RecordProperty("bytes_per_idle_session", static_cast<int>(each));
  EXPECT_LT(each, kBytesMax);
  fmt::print("{} idle sessions, {} bytes each\n", count, each);
}

}  // namespace
}  // namespace valkyrie::server
