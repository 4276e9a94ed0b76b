// Subscribers and publishers that do what they should not: it ends their stream or connection with
// a reason, and the node serves the others.
#include <deque>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "server/ops/testing/test_client.h"
#include "tests/e2e/subjects.h"

namespace valkyrie::tests {
namespace {

using protocol::CloseCode;
using protocol::StreamKind;
using server::testing::Answer;
using server::testing::TestClient;

// Open streams of one client; the node allows a few more.
constexpr int kStreamsEach = 250;

class BadSubscriber : public ::testing::TestWithParam<int> {
 protected:
  BadSubscriber() { probe(*publisher, "plain.subject", listener); }

  TestClient& dial() {
    TestClient& client = clients.emplace_back(*reactor, node.unix_url);
    EXPECT_TRUE(client.wait_ready());
    return client;
  }
  // Waits until the node has handled what the client sent.
  static void sync(TestClient& client) {
    EXPECT_EQ(client.call("valkyrie.Node", "Echo", "x").payload, "x");
  }
  void expect_served() {
    ASSERT_TRUE(publisher->publish_acked("plain.subject", "still there").wait().has_value());
    EXPECT_TRUE(listener.wait_count(1));
    const std::vector<Received> all = listener.finish();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].missed, 0u);
  }

  RunningNode node{{"--shards", std::to_string(GetParam())}};
  Result<Client> publisher = Client::connect(node.tcp_url);
  Listener listener{node.unix_url, "plain.*"};
  std::unique_ptr<transport::Reactor> reactor = *transport::Reactor::create();
  std::deque<TestClient> clients;
};

INSTANTIATE_TEST_SUITE_P(Shards, BadSubscriber, ::testing::Values(1, 2));

TEST_P(BadSubscriber, with_an_illegal_subject_loses_that_stream) {
  const std::string cases[] = {"",
                               "a..b",
                               ".a",
                               "a.",
                               "a b",
                               "a*",
                               "a.>.b",
                               std::string("a\0b", 3),
                               "a\x7f",
                               "\xff\xfe",
                               "a/b.c",
                               std::string(256, 'a'),
                               "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17"};
  TestClient& client = dial();
  for (const std::string& subject : cases) {
    for (const StreamKind kind : {StreamKind::subscribe, StreamKind::publish}) {
      if (kind == StreamKind::publish && subject.empty()) continue;  // Each PUBLISH names its own.
      const std::uint32_t stream = client.open_subject(kind, subject);
      sync(client);
      EXPECT_EQ(client.resets[stream], CloseCode::bad_metadata) << subject;
    }
  }
  const std::uint32_t wild = client.open_subject(StreamKind::publish, "a.*");
  const std::uint32_t nodes = client.open_subject(StreamKind::subscribe, "valkyrie.>");
  sync(client);
  EXPECT_EQ(client.resets[wild], CloseCode::bad_metadata);
  EXPECT_EQ(client.resets[nodes], CloseCode::forbidden);
  expect_served();
}

TEST_P(BadSubscriber, whose_message_has_an_illegal_subject_is_told_so) {
  TestClient& client = dial();
  const std::uint32_t stream = client.open_subject(StreamKind::publish, "");
  for (const std::string_view subject : {"a..b", "plain.*", "plain.a*", ">"}) {
    const Answer answer = client.publish(stream, subject);
    EXPECT_EQ(answer.code, protocol::StatusCode::invalid_argument) << subject;
    EXPECT_EQ(answer.outcome, protocol::Outcome::not_executed);
    EXPECT_NE(answer.text, "");
  }
  EXPECT_EQ(client.publish(stream, "valkyrie.x").code, protocol::StatusCode::permission_denied);
  EXPECT_EQ(client.publish(stream, "other.subject").code, protocol::StatusCode::ok);
  // Bytes that no text entry may have make metadata that nobody can read.
  for (const std::string_view subject : {"plain.\x01", "plain. ", "\xc3\xa4"}) {
    const std::uint32_t other = client.open_subject(StreamKind::publish, "");
    static_cast<void>(client.publish(other, subject));
    EXPECT_EQ(client.resets[other], CloseCode::bad_metadata) << subject;
  }
  expect_served();
}

TEST_P(BadSubscriber, whose_subscriptions_come_and_go_without_end_is_a_flood) {
  TestClient& client = dial();
  ASSERT_TRUE(client.turn_until([&] {
    if (const auto stream = client.open_subject(StreamKind::subscribe, "plain.>")) {
      client.reset(stream);
    }
    return client.closed();
  }));
  const auto reason = client.wait_closed();
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->code, CloseCode::flood);
  EXPECT_FALSE(reason->local);
  wait_node_count(*publisher, "subscriptions", 1);
  expect_served();
}

TEST_P(BadSubscriber, whose_filters_would_make_a_match_too_dear_is_refused) {
  // Every choice of a literal or `*` at each of twelve levels: a match would visit them all.
  constexpr unsigned kLevels = 12;
  bool refused = false;
  for (unsigned choice = 0; choice < 1u << kLevels && !refused; ++choice) {
    if (choice % kStreamsEach == 0) static_cast<void>(dial());
    std::string filter;
    for (unsigned level = 0; level < kLevels; ++level) {
      filter += (choice >> level & 1) != 0 ? ".*" : ".a";
    }
    TestClient& client = clients.back();
    ASSERT_NE(client.open_subject(StreamKind::subscribe, filter.substr(1)), 0u);
    if (choice % kStreamsEach < kStreamsEach - 1) continue;
    sync(client);
    for (const auto& [stream, code] : client.resets) {
      EXPECT_EQ(code, CloseCode::refused);
      refused = true;
    }
  }
  EXPECT_TRUE(refused);
  // A message that matches all that were taken.
  ASSERT_TRUE(publisher->publish_acked("a.a.a.a.a.a.a.a.a.a.a.a", "x").wait().has_value());
  expect_served();
}

}  // namespace
}  // namespace valkyrie::tests
