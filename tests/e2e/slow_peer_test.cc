// Peers that stop reading, beside others that do not notice: real processes, one of them stopped.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include "protocol/messages/registry.h"
#include "tests/e2e/programs.h"
#include "valkyrie/client.h"

namespace valkyrie::tests {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kAnswerBytes = 64u << 10;
constexpr int kOthers = 20;

// What a peer that reads nothing may cost the node: its queue, and slack for all that a node under
// load allocates anyway; far less than what the peer has asked for.
constexpr std::size_t kMemoryMax = 48u << 20;

std::atomic<int> floods{0};

// Writes for as long as anybody reads.
Task<Result<void>> flood(IncomingCall, Bytes, Writer<> out) {
  ++floods;
  const Bytes block = Bytes::copy(std::string(kAnswerBytes, 'x'));
  while (true) {
    const Result<void> written = co_await out.write(block);
    if (!written) co_return written;
  }
}

class SlowPeers : public ::testing::Test {
 protected:
  SlowPeers() {
    floods = 0;
    Service service("test.Slow");
    service.unary("Small", [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); })
        .unary("Large",
               [this](IncomingCall&, BytesView, Reply reply) {
                 ++asked_for_much;
                 reply.send(std::string(kAnswerBytes, 'x'));
               })
        .server_stream("Flood", flood);
    EXPECT_TRUE(server.has_value());
    EXPECT_TRUE(server->serve(std::move(service)).wait().has_value());
    for (int i = 0; i < kOthers; ++i) {
      others.push_back(Client::connect(node.unix_url));
      EXPECT_TRUE(others.back().has_value());
    }
    others_call();
    memory_before = resident_bytes(node.process.pid());
  }

  // Each of the others has a call answered, and the node has not grown beyond its bound.
  void others_call() {
    for (Result<Client>& other : others) {
      const auto reply = other->call("test.Slow/Small", "x").wait();
      ASSERT_TRUE(reply.has_value()) << reply.error().to_string();
    }
    if (memory_before == 0) return;
    memory_most = std::max(memory_most, resident_bytes(node.process.pid()));
  }
  // A count of valkyrie.Node/Info.
  std::uint64_t count(std::string_view name) {
    const std::string body = messages::encode(messages::NodeInfoRequest{});
    const auto reply = others.front()->call("valkyrie.Node/Info", body).wait();
    EXPECT_TRUE(reply.has_value());
    const auto info = messages::decode<messages::NodeInfoReply>(BytesView(*reply).span());
    const auto found = std::ranges::find(info->counts, name, &messages::NamedNumber::first);
    return found == info->counts.end() ? 0 : found->second;
  }
  // The others go on until the node has counted one of these.
  void others_call_until(const std::vector<std::string_view>& names) {
    while (std::ranges::all_of(names, [&](std::string_view name) { return count(name) == 0; })) {
      others_call();
      if (HasFatalFailure()) return;
    }
  }
  // What a sanitizer keeps of freed memory is not the node's.
  void expect_memory_bounded() const {
    if (server::testing::is_sanitized()) return;
    EXPECT_LT(memory_most, memory_before + kMemoryMax);
  }

  RunningNode node{{"--shards", "2", "--log-level", "warn", "--set", "qos.slow_peer.stall=3s"}};
  std::atomic<int> asked_for_much{0};
  std::size_t memory_before = 0;
  std::size_t memory_most = 0;
  Result<Client> server = Client::connect(node.tcp_url);
  std::vector<Result<Client>> others;
};

// Whether its connection or only its calls are given up depends on how much the kernel takes.
TEST_F(SlowPeers, a_stopped_caller_is_given_up_and_comes_back_when_it_goes_on) {
  // It asks for 2 MiB of answers at a time, more than its windows and less than its service may
  // queue.
  Cli slow(node, {"--verbose", "bench", "call", "test.Slow/Large", "--depth", "32", "--size", "1",
                  "--time", "1h"});
  while (asked_for_much < 200) others_call();
  slow.signal(SIGSTOP);
  others_call_until({"slow_peers", "slow_streams"});
  expect_memory_bounded();
  slow.signal(SIGCONT);
  if (count("slow_peers") > 0) {
    EXPECT_TRUE(slow.log.find("lost the connection").has_value());
    EXPECT_TRUE(slow.log.find("again").has_value()) << "it is connected";
  }
  others_call();
}

TEST_F(SlowPeers, a_stopped_reader_of_a_stream_is_told_why_it_ended_and_connects_again) {
  const int input = input_of("go\n");
  Cli slow(node, {"stream", "test.Slow/Flood"}, {.in_fd = input});
  ::close(input);
  while (floods == 0) others_call();
  slow.signal(SIGSTOP);
  others_call_until({"slow_streams"});
  expect_memory_bounded();
  EXPECT_EQ(count("slow_streams"), 1u) << "nobody else was";
  slow.signal(SIGCONT);
  const Ran ran = finish(slow);
  EXPECT_NE(ran.exit, 0);
  EXPECT_TRUE(says(ran.err, "no credit for too long"));
  EXPECT_EQ(cli(node, {"call", "test.Slow/Small", "x"}).exit, 0);
}

TEST_F(SlowPeers, a_stream_that_nobody_reads_is_reset_and_its_session_goes_on) {
  Result<Client> slow = Client::connect(node.unix_url);
  ASSERT_TRUE(slow.has_value());
  Stream<> stream = slow->stream("test.Slow/Flood");
  ASSERT_TRUE(stream.write(Bytes()).wait().has_value());
  ASSERT_TRUE(stream.read().wait().has_value());
  others_call_until({"slow_streams"});
  expect_memory_bounded();
  EXPECT_EQ(count("slow_peers"), 0u);
  // What had come is read, then why no more comes.
  while (true) {
    const auto message = stream.read().wait();
    if (message) {
      ASSERT_TRUE(message->has_value()) << "the stream has not ended in order";
      continue;
    }
    EXPECT_EQ(message.error().code(), StatusCode::resource_exhausted)
        << message.error().to_string();
    EXPECT_TRUE(says(message.error().message(), "no credit for too long"));
    break;
  }
  Stream<> again = slow->stream("test.Slow/Flood");
  ASSERT_TRUE(again.write(Bytes()).wait().has_value());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(again.read().wait().has_value());
}

}  // namespace
}  // namespace valkyrie::tests
