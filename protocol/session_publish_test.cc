// Publish/subscribe over a session: acknowledgements, events, fragments, limits, ends.
#include <array>
#include <gtest/gtest.h>
#include <string>

#include "protocol/session_pair.h"

namespace valkyrie::protocol {
namespace {

using testing::bytes_of;
using testing::Pair;
using testing::Seen;

// A pair whose acceptor gives back the credit of every message, and answers what awaits it.
class PublishPair : public Pair {
 public:
  explicit PublishPair(const SessionConfig& dialer_config = {},
                       const SessionConfig& acceptor_config = {})
      : Pair(dialer_config, acceptor_config) {
    acceptor.on_event = [this](const Event& event) {
      if (event.type != EventType::publish) return;
      acceptor.session.consume(event.stream, event.cost);
      if (answers && event.correlation != 0) {
        EXPECT_TRUE(acceptor.session.send_published(event.stream, event.correlation, 1));
      }
    };
    dialer.on_event = [this](const Event& event) {
      if (event.type == EventType::event) dialer.session.consume(event.stream, event.cost);
    };
    run();
  }

  std::uint32_t open(StreamKind kind, std::uint8_t options = 0) {
    const auto id = dialer.session.open_stream(kind, options, {}, /*user=*/7);
    EXPECT_TRUE(id.has_value());
    run();
    return id.value_or(0);
  }

  bool answers = true;
};

TEST(SessionPublish, an_acknowledged_message_is_answered_with_its_cookie) {
  PublishPair pair;
  const std::uint32_t stream = pair.open(StreamKind::publish);
  const auto sent = pair.dialer.session.send_publish(
      stream, {.payload = bytes_of("21.5"), .cookie = 42}, /*ack=*/true);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->correlation, 1u);
  EXPECT_EQ(pair.dialer.session.requests_in_flight(), 1u);
  pair.run();
  const auto published = pair.dialer.all(EventType::published);
  ASSERT_EQ(published.size(), 1u);
  EXPECT_EQ(published[0].event.cookie, 42u);
  EXPECT_EQ(published[0].event.user, 7u);
  EXPECT_EQ(published[0].event.level, 1);
  EXPECT_EQ(published[0].event.kind, StreamKind::publish);
  EXPECT_EQ(pair.acceptor.all(EventType::publish)[0].payload, "21.5");
  EXPECT_EQ(pair.dialer.session.requests_in_flight(), 0u);
  EXPECT_EQ(pair.acceptor.session.held_bytes(), 0u);
}

TEST(SessionPublish, a_message_without_acknowledgement_is_never_answered) {
  PublishPair pair;
  const std::uint32_t stream = pair.open(StreamKind::publish);
  const auto sent =
      pair.dialer.session.send_publish(stream, {.payload = bytes_of("x")}, /*ack=*/false);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->correlation, 0u);
  pair.run();
  EXPECT_EQ(pair.acceptor.all(EventType::publish)[0].event.correlation, 0u);
  EXPECT_EQ(pair.dialer.count(EventType::published), 0u);
  EXPECT_EQ(pair.dialer.session.requests_in_flight(), 0u);
}

TEST(SessionPublish, a_failed_message_comes_back_with_its_status) {
  PublishPair pair;
  pair.answers = false;
  const std::uint32_t stream = pair.open(StreamKind::publish);
  ASSERT_TRUE(pair.dialer.session.send_publish(stream, {}, /*ack=*/true));
  pair.run();
  std::array<std::byte, 256> buffer;
  MetadataWriter writer(buffer);
  writer.status({.code = StatusCode::failed_precondition, .text = "not available here"});
  ASSERT_TRUE(pair.acceptor.session.send_published(stream, 1, 0, *writer.finish()));
  EXPECT_EQ(pair.acceptor.session.send_published(stream, 1, 1).error(), SendError::unknown);
  pair.run();
  const auto published = pair.dialer.all(EventType::published);
  ASSERT_EQ(published.size(), 1u);
  EXPECT_EQ(published[0].event.level, 0);
  EXPECT_EQ(published[0].status, StatusCode::failed_precondition);
  EXPECT_EQ(published[0].status_text, "not available here");
}

TEST(SessionPublish, events_carry_their_sequence_through_the_wrap) {
  PublishPair pair;
  const std::uint32_t stream = pair.open(StreamKind::subscribe, kStreamOptionNoEcho);
  EXPECT_EQ(pair.acceptor.all(EventType::stream_opened)[0].event.options, kStreamOptionNoEcho);
  for (const std::uint32_t sequence : {0xFFFFFFFFu, 0u, 1u}) {
    ASSERT_TRUE(pair.acceptor.session.send_event(stream, sequence, {.payload = bytes_of("e")}));
  }
  pair.run();
  const auto events = pair.dialer.all(EventType::event);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].event.correlation, 0xFFFFFFFFu);
  EXPECT_EQ(events[1].event.correlation, 0u);
  EXPECT_EQ(events[2].event.correlation, 1u);
  EXPECT_EQ(events[2].event.user, 7u);
}

TEST(SessionPublish, messages_and_events_at_the_limit_are_put_together_whole) {
  PublishPair pair;
  const std::uint32_t publish = pair.open(StreamKind::publish);
  const std::uint32_t subscribe = pair.open(StreamKind::subscribe);
  const std::string largest(kCallMessageBytesDefault, 'x');
  const std::string over = largest + "x";
  ASSERT_TRUE(pair.dialer.session.send_publish(publish, {.payload = bytes_of(largest)}, true));
  EXPECT_EQ(pair.acceptor.session.send_event(subscribe, 1, {.payload = bytes_of(largest)}).error(),
            SendError::queue_full)
      << "only one that is shared may wait";
  const auto shared = std::make_shared<const std::string>(largest);
  const auto sent = pair.acceptor.session.send_event(
      subscribe, 1, {.payload = bytes_of(*shared), .owner = shared});
  EXPECT_GT(shared.use_count(), 1) << "no copy is made";
  ASSERT_TRUE(sent);
  EXPECT_TRUE(sent->waiting);
  pair.run();
  EXPECT_TRUE(pair.acceptor.all(EventType::publish).at(0).payload == largest);
  EXPECT_TRUE(pair.dialer.all(EventType::event).at(0).payload == largest);
  EXPECT_EQ(pair.acceptor.count(EventType::flushed), 1u);
  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_EQ(pair.dialer.session.held_bytes() + pair.acceptor.session.held_bytes(), 0u);
  EXPECT_EQ(pair.dialer.session.send_publish(publish, {.payload = bytes_of(over)}, true).error(),
            SendError::too_large);
  EXPECT_EQ(pair.acceptor.session.send_event(subscribe, 2, {.payload = bytes_of(over)}).error(),
            SendError::too_large);
}

TEST(SessionPublish, a_message_over_the_receivers_limit_is_answered_or_ends_its_stream) {
  SessionConfig small;
  small.limits.call_message_bytes_max = kCallMessageBytesMin;
  PublishPair pair({}, small);
  const_cast<PeerInfo&>(pair.dialer.session.peer()).call_message_bytes_max = 1 << 20;
  const std::uint32_t stream = pair.open(StreamKind::publish);
  const std::string over(kCallMessageBytesMin + 1, 'x');
  const std::string whole(kCallMessageBytesMin, 'x');
  ASSERT_TRUE(pair.dialer.session.send_publish(stream, {.payload = bytes_of(over)}, true));
  ASSERT_TRUE(pair.dialer.session.send_publish(stream, {.payload = bytes_of(whole)}, true));
  pair.run();
  const auto published = pair.dialer.all(EventType::published);
  ASSERT_EQ(published.size(), 2u);
  EXPECT_EQ(published[0].event.level, 0);
  EXPECT_EQ(published[0].status, StatusCode::resource_exhausted);
  EXPECT_EQ(published[1].event.level, 1);
  ASSERT_TRUE(pair.dialer.session.send_publish(stream, {.payload = bytes_of(over)}, false));
  pair.run();
  ASSERT_EQ(pair.dialer.count(EventType::reset), 1u);
  EXPECT_EQ(pair.dialer.all(EventType::reset)[0].event.code, CloseCode::too_large);
  EXPECT_TRUE(pair.dialer.session.ready()) << "the session goes on";
  EXPECT_EQ(pair.acceptor.session.held_bytes(), 0u);
}

TEST(SessionPublish, acknowledged_messages_are_requests_in_flight) {
  SessionConfig few;
  few.limits.requests_in_flight_max = 2;
  PublishPair pair({}, few);
  pair.answers = false;
  const std::uint32_t stream = pair.open(StreamKind::publish);
  ASSERT_TRUE(pair.dialer.session.send_publish(stream, {}, true));
  ASSERT_TRUE(pair.dialer.session.send_publish(stream, {}, true));
  EXPECT_EQ(pair.dialer.session.send_publish(stream, {}, true).error(), SendError::in_flight_max);
  EXPECT_TRUE(pair.dialer.session.send_publish(stream, {}, false)) << "nobody waits for this one";
  const_cast<PeerInfo&>(pair.dialer.session.peer()).requests_in_flight_max = 3;
  ASSERT_TRUE(pair.dialer.session.send_publish(stream, {}, true));
  pair.run();
  const auto published = pair.dialer.all(EventType::published);
  ASSERT_EQ(published.size(), 1u) << "the node answers what is over its limit by itself";
  EXPECT_EQ(published[0].event.correlation, 3u);
  EXPECT_EQ(published[0].status, StatusCode::resource_exhausted);
}

TEST(SessionPublish, the_end_of_a_publisher_is_answered_after_the_last_acknowledgement) {
  PublishPair pair;
  pair.answers = false;
  const std::uint32_t stream = pair.open(StreamKind::publish);
  ASSERT_TRUE(pair.dialer.session.send_publish(stream, {}, true));
  ASSERT_TRUE(pair.dialer.session.send_end(stream));
  pair.run();
  EXPECT_EQ(pair.acceptor.count(EventType::end), 1u);
  EXPECT_EQ(pair.dialer.count(EventType::stream_closed), 0u);
  ASSERT_TRUE(pair.acceptor.session.send_published(stream, 1, 1));
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::published), 1u);
  EXPECT_EQ(pair.dialer.count(EventType::stream_closed), 1u);
  EXPECT_EQ(pair.acceptor.session.stream_count(), 0u);
}

TEST(SessionPublish, the_end_of_a_subscriber_leaves_its_events_to_be_sent) {
  PublishPair pair;
  const std::uint32_t stream = pair.open(StreamKind::subscribe);
  ASSERT_TRUE(pair.dialer.session.send_end(stream));
  pair.run();
  EXPECT_EQ(pair.acceptor.count(EventType::end), 1u);
  ASSERT_TRUE(pair.acceptor.session.send_event(stream, 1, {.payload = bytes_of("last")}));
  ASSERT_TRUE(pair.acceptor.session.send_end(stream));
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::event), 1u);
  EXPECT_EQ(pair.dialer.count(EventType::stream_closed), 1u);
  EXPECT_EQ(pair.acceptor.count(EventType::stream_closed), 1u);
}

TEST(SessionPublish, the_end_of_the_node_is_answered_and_fails_what_is_not_acknowledged) {
  PublishPair pair;
  pair.answers = false;
  const std::uint32_t publish = pair.open(StreamKind::publish);
  const std::uint32_t subscribe = pair.open(StreamKind::subscribe);
  ASSERT_TRUE(pair.dialer.session.send_publish(publish, {.cookie = 9}, true));
  pair.run();
  ASSERT_TRUE(pair.acceptor.session.send_end(publish));
  ASSERT_TRUE(pair.acceptor.session.send_end(subscribe));
  pair.run();
  const auto failed = pair.dialer.all(EventType::request_failed);
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].event.cookie, 9u);
  EXPECT_EQ(failed[0].event.kind, StreamKind::publish);
  EXPECT_EQ(failed[0].event.outcome, Outcome::maybe_executed);
  EXPECT_EQ(pair.dialer.count(EventType::stream_closed), 2u);
}

TEST(SessionPublish, a_reset_says_which_messages_were_never_taken) {
  PublishPair pair;
  pair.answers = false;
  const std::uint32_t stream = pair.open(StreamKind::publish);
  ASSERT_TRUE(pair.dialer.session.send_publish(stream, {}, true));
  pair.run();
  pair.acceptor.session.reset(stream, CloseCode::slow_peer);
  ASSERT_TRUE(pair.dialer.session.send_publish(stream, {}, true));
  pair.run();
  const auto failed = pair.dialer.all(EventType::request_failed);
  ASSERT_EQ(failed.size(), 2u);
  EXPECT_EQ(failed[0].event.outcome, Outcome::maybe_executed);
  EXPECT_EQ(failed[1].event.outcome, Outcome::not_executed);
  ASSERT_EQ(pair.acceptor.count(EventType::abandoned), 1u);
  EXPECT_EQ(pair.acceptor.session.send_published(stream, 1, 1).error(), SendError::unknown);
}

TEST(SessionPublish, a_message_that_has_not_left_can_be_given_up) {
  SessionConfig small;
  small.limits.stream_credit_bytes = 65536;
  PublishPair pair({}, small);
  const std::uint32_t stream = pair.open(StreamKind::publish);
  const std::string text(65536 - 20, 'x');
  ASSERT_TRUE(pair.dialer.session.send_publish(stream, {.payload = bytes_of(text)}, false));
  const auto waiting =
      pair.dialer.session.send_publish(stream, {.payload = bytes_of("late"), .cookie = 5}, true);
  ASSERT_TRUE(waiting && waiting->waiting);
  pair.dialer.session.cancel(stream, waiting->correlation);
  pair.run();
  const auto failed = pair.dialer.all(EventType::request_failed);
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].event.cookie, 5u);
  EXPECT_EQ(failed[0].event.outcome, Outcome::not_executed);
  EXPECT_EQ(pair.acceptor.count(EventType::publish), 1u);
}

TEST(SessionPublish, a_draining_node_gets_its_publish_and_subscribe_streams_ended) {
  PublishPair pair;
  (void)pair.open(StreamKind::publish);
  const std::uint32_t subscribe = pair.open(StreamKind::subscribe);
  pair.acceptor.on_event = [&pair](const Event& event) {
    if (event.type == EventType::end) (void)pair.acceptor.session.send_end(event.stream);
  };
  ASSERT_TRUE(pair.acceptor.session.send_event(subscribe, 1, {.payload = bytes_of("still comes")}));
  pair.acceptor.session.drain(std::chrono::seconds(30), pair.now);
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::event), 1u);
  EXPECT_EQ(pair.dialer.count(EventType::stream_closed), 2u);
  EXPECT_EQ(pair.dialer.all(EventType::closed).at(0).event.code, CloseCode::draining);
}

// Each costs the whole window: a CREDIT of the stream and one of the connection come back, and the
// receipt; where two frames make the message, one more CREDIT while it is incomplete.
TEST(SessionPublish, messages_that_cost_most_control_frames_are_no_flood) {
  SessionConfig config;
  config.limits.control_frames_burst = 10;
  config.limits.connection_credit_bytes = kConnectionCreditBytesMin;
  for (const std::size_t bytes : {kStreamCreditBytesDefault - kHeaderBytes, std::size_t{65'536}}) {
    PublishPair pair(config, config);
    const std::uint32_t stream = pair.open(StreamKind::publish);
    const std::string payload(bytes, 'x');
    for (int i = 0; i < 1000; ++i) {
      ASSERT_TRUE(pair.dialer.session.send_publish(stream, {.payload = bytes_of(payload)}, true));
      pair.run();
      ASSERT_FALSE(pair.dialer.session.closed()) << i;
    }
    EXPECT_EQ(pair.dialer.count(EventType::published), 1000u);
  }
}

TEST(SessionPublish, a_storm_of_subscriptions_is_a_flood) {
  SessionConfig config;
  config.limits.peer_resets_burst = 10;
  for (const int storms : {10, 11}) {
    PublishPair pair({}, config);
    for (int i = 0; i < storms; ++i) {
      const std::uint32_t stream = pair.open(StreamKind::subscribe);
      (void)pair.dialer.session.send_end(stream);
      pair.run();
      (void)pair.acceptor.session.send_end(stream);
      pair.run();
    }
    EXPECT_EQ(pair.acceptor.session.closed(), storms > 10);
    if (storms > 10) {
      EXPECT_EQ(pair.acceptor.all(EventType::closed).at(0).event.code, CloseCode::flood);
    }
  }
}

TEST(SessionPublish, subscriptions_that_end_because_the_node_drains_are_no_storm) {
  SessionConfig config;
  config.limits.peer_resets_burst = 2;
  PublishPair pair({}, config);
  pair.acceptor.on_event = [&pair](const Event& event) {
    if (event.type == EventType::end) (void)pair.acceptor.session.send_end(event.stream);
  };
  for (int i = 0; i < 20; ++i) (void)pair.open(StreamKind::subscribe);
  pair.acceptor.session.drain(std::chrono::seconds(30), pair.now);
  pair.run();
  EXPECT_EQ(pair.dialer.all(EventType::closed).at(0).event.code, CloseCode::draining);
}

}  // namespace
}  // namespace valkyrie::protocol
