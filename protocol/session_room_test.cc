// The room of each class in what waits for a peer: docs/spec/scheduling.md, "Room".
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <vector>

#include "protocol/frame.h"
#include "protocol/output_room.h"
#include "protocol/session_pair.h"

namespace valkyrie::protocol {
namespace {

using testing::bytes_of;
using testing::Pair;
using namespace std::chrono_literals;

constexpr std::uint64_t kQueued = 100'000;
constexpr std::uint64_t kHeld = 400'000;

SessionConfig narrow() {
  SessionConfig config;
  config.limits.queued_bytes_max = kQueued;
  config.limits.held_bytes_max = kHeld;
  return config;
}
SessionConfig any_class() {
  SessionConfig config;
  config.qos_ceiling = QosClass::critical;
  return config;
}

constexpr QosClass kClasses[] = {QosClass::critical, QosClass::system, QosClass::job,
                                 QosClass::data, QosClass::telemetry};

// A dialer whose peer reads nothing from now on. Each class has streams that are open already, so
// that nothing but messages fills the output.
class SessionRoom : public ::testing::Test {
 protected:
  SessionRoom() {
    pair.run();
    for (const QosClass each : kClasses) {
      for (int i = 0; i < 10; ++i) {
        streams[each].push_back(pair.open_call("a.b", qos_byte(each, kUrgencyDefault)));
      }
    }
    pair.run();
  }

  // A message that costs `size` bytes, on a stream that no other was sent on.
  std::expected<Sent, SendError> send(QosClass qos_class, std::uint64_t size) {
    const std::uint32_t stream = streams[qos_class].back();
    streams[qos_class].pop_back();
    const std::string payload(size - kHeaderBytes, 'x');
    return pair.dialer.session.send_notify(
        stream, {.payload = bytes_of(payload), .qos = qos_byte(qos_class, kUrgencyDefault)});
  }
  // Sends until the room of the class is used up.
  void fill(QosClass qos_class) {
    const std::uint64_t room = room_for(kQueued, qos_byte(qos_class, 0));
    for (std::uint64_t left = room - queued(); left > 0; left = room - queued()) {
      const auto sent = send(qos_class, std::min<std::uint64_t>(left, 20'000));
      ASSERT_TRUE(sent && !sent->waiting);
    }
  }
  [[nodiscard]] std::uint64_t queued() const { return pair.dialer.session.queued_bytes(); }

  Pair pair{narrow(), any_class()};
  std::map<QosClass, std::vector<std::uint32_t>> streams;
};

TEST(WaitingBytes, the_room_of_a_class_is_what_those_below_leave_to_it) {
  EXPECT_EQ(room_for(100, qos_byte(QosClass::critical, 31)), 100u);
  EXPECT_EQ(room_for(100, qos_byte(QosClass::system, 0)), 94u);
  EXPECT_EQ(room_for(100, qos_byte(QosClass::telemetry, 31)), 76u);
  EXPECT_EQ(room_for(kQueuedBytesMax, qos_byte(QosClass::telemetry, 0)),
            std::uint64_t{kQueuedBytesMax} * 76 / 100 + 1);
}

TEST(WaitingBytes, takes_what_fits_exactly_and_not_one_byte_more) {
  for (const QosClass qos_class : kClasses) {
    const std::uint8_t qos = qos_byte(qos_class, kUrgencyDefault);
    WaitingBytes waiting;
    waiting.add(qos, 1);
    const std::uint64_t room = room_for(kQueued, qos);
    EXPECT_TRUE(waiting.takes(qos, room - 1 - 50, 50, kQueued)) << to_string(qos_class);
    EXPECT_FALSE(waiting.takes(qos, room - 1 - 50 + 1, 50, kQueued)) << to_string(qos_class);
  }
}

// Of each class but critical, beside the one above it.
class SessionRoomOf : public SessionRoom, public ::testing::WithParamInterface<int> {};

TEST_P(SessionRoomOf, bulk_that_fills_it_leaves_some_to_the_class_above) {
  const QosClass below = kClasses[GetParam()];
  const QosClass above = kClasses[GetParam() - 1];
  fill(below);
  const auto first = send(below, 1000);
  ASSERT_TRUE(first && first->waiting);
  EXPECT_EQ(send(below, kHeaderBytes).error(), SendError::queue_full);
  const auto urgent = send(above, 1000);
  ASSERT_TRUE(urgent.has_value());
  EXPECT_FALSE(urgent->waiting);
}

TEST_P(SessionRoomOf, who_was_refused_hears_once_of_room_though_no_message_waited) {
  const QosClass qos_class = kClasses[GetParam()];
  fill(qos_class);
  ASSERT_TRUE(send(qos_class, 1000)->waiting);
  ASSERT_EQ(send(qos_class, 1000).error(), SendError::queue_full);
  ASSERT_EQ(send(qos_class, 1000).error(), SendError::queue_full);
  pair.dialer.poll();
  EXPECT_EQ(pair.dialer.count(EventType::room), 0u);
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::room), 1u);
  EXPECT_TRUE(send(qos_class, 1000).has_value());
}

INSTANTIATE_TEST_SUITE_P(Classes, SessionRoomOf, ::testing::Values(1, 2, 3, 4));

TEST_F(SessionRoom, one_long_message_of_a_class_takes_nothing_from_those_above) {
  const auto telemetry = send(QosClass::telemetry, 300'000);
  ASSERT_TRUE(telemetry && telemetry->waiting);
  // Nor does it stop the first of another class, however long.
  const auto data = send(QosClass::data, 300'000);
  ASSERT_TRUE(data && data->waiting);
  EXPECT_EQ(send(QosClass::data, 1000).error(), SendError::queue_full);
  EXPECT_EQ(send(QosClass::telemetry, 1000).error(), SendError::queue_full);
  for (const QosClass qos_class : {QosClass::job, QosClass::system, QosClass::critical}) {
    const auto sent = send(qos_class, 1000);
    ASSERT_TRUE(sent.has_value()) << to_string(qos_class);
    EXPECT_FALSE(sent->waiting);
  }
}

TEST_F(SessionRoom, what_is_refused_changes_nothing_and_all_that_was_taken_arrives) {
  fill(QosClass::telemetry);
  ASSERT_TRUE(send(QosClass::telemetry, 90'000).has_value());
  ASSERT_FALSE(send(QosClass::telemetry, 20).has_value());
  ASSERT_TRUE(send(QosClass::critical, 5000).has_value());
  std::map<std::uint8_t, std::uint64_t> got;
  pair.acceptor.on_event = [&](const Event& event) {
    if (event.type != EventType::notify) return;
    got[static_cast<std::uint8_t>(qos_class(event.qos))] += event.payload.size();
    pair.acceptor.session.consume(event.stream, event.cost);
  };
  pair.run();
  EXPECT_EQ(got[0], 5000 - kHeaderBytes);
  EXPECT_GT(got[4], 90'000u);
  EXPECT_EQ(queued(), 0u);
}

TEST_F(SessionRoom, critical_data_that_is_relayed_goes_beside_calls_that_fill_theirs) {
  fill(QosClass::telemetry);
  const auto relay = [&](QosClass qos_class, std::uint64_t size) {
    const std::uint8_t qos = qos_byte(qos_class, kUrgencyDefault);
    const auto stream = pair.dialer.session.open_stream(StreamKind::stream, 0, {.qos = qos}, 0);
    const std::string payload(size - kHeaderBytes, 'x');
    return pair.dialer.session.send_data(
        *stream, {.payload = bytes_of(payload), .qos = qos, .relayed = true});
  };
  EXPECT_TRUE(relay(QosClass::data, 1000)->waiting) << "calls have more than its quarter";
  EXPECT_FALSE(relay(QosClass::critical, 1000)->waiting);
}

// Data without credit waits up to `held`, each class up to its room in that.
TEST_F(SessionRoom, relayed_data_of_bulk_leaves_room_to_that_of_classes_above) {
  const auto relay = [&](QosClass qos_class, std::uint64_t size) {
    const std::uint8_t qos = qos_byte(qos_class, kUrgencyDefault);
    const auto stream = pair.dialer.session.open_stream(StreamKind::stream, 0, {.qos = qos}, 0);
    const std::string payload(size - kHeaderBytes, 'x');
    // The acceptor consumes nothing.
    while (const std::uint64_t credit = pair.dialer.session.send_credit(*stream)) {
      const std::string part(std::min<std::uint64_t>(credit, 10'000) - kHeaderBytes, 'x');
      (void)pair.dialer.session.send_data(*stream,
                                          {.payload = bytes_of(part), .qos = qos, .relayed = true});
      pair.run();
    }
    return pair.dialer.session.send_data(
        *stream, {.payload = bytes_of(payload), .qos = qos, .relayed = true});
  };
  const std::uint64_t room = room_for(kHeld, qos_byte(QosClass::telemetry, 0));
  const std::uint64_t fits = room - (100'000 - kHeaderBytes);  // What waits has no header yet.
  ASSERT_TRUE(relay(QosClass::telemetry, 100'000)->waiting);
  EXPECT_EQ(relay(QosClass::telemetry, fits + 1).error(), SendError::queue_full);
  ASSERT_TRUE(relay(QosClass::telemetry, fits).has_value());
  EXPECT_EQ(relay(QosClass::telemetry, 10'000).error(), SendError::queue_full);
  ASSERT_TRUE(relay(QosClass::data, 10'000).has_value());
}

// 45,000 bytes of bulk behind a critical frame.
class SessionCritical : public SessionRoom {
 protected:
  SessionCritical() {
    EXPECT_TRUE(send(QosClass::critical, 100).has_value());
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(send(QosClass::telemetry, 15'000).has_value());
  }
};

TEST_F(SessionCritical, little_of_bulk_is_on_its_way_until_the_time_of_critical_frames_is_over) {
  const std::size_t first = pair.dialer.take_output(pair.now).size();
  const std::size_t ping = kHeaderBytes + 8;  // It measures the path.
  EXPECT_EQ(first, 100u + 30'000u + ping) << "with a third frame it would be more than 32 KiB";
  EXPECT_FALSE(pair.dialer.session.has_output());
  const Instant over = pair.now + kCriticalTime;
  EXPECT_EQ(*pair.dialer.session.deadline(), over);
  pair.dialer.session.on_deadline(over - 1ns);
  EXPECT_FALSE(pair.dialer.session.has_output());
  pair.dialer.session.on_deadline(over);
  EXPECT_EQ(pair.dialer.take_output(over).size(), 15'000u);
}

// What was used before, and is less than a quarter of the window, is returned when they begin.
TEST_F(SessionRoom, bulk_before_critical_frames_does_not_stop_bulk_beside_them) {
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(send(QosClass::telemetry, 15'000).has_value());
    pair.run();
  }
  ASSERT_TRUE(send(QosClass::critical, 100).has_value());
  ASSERT_TRUE(send(QosClass::data, 16'000).has_value());
  pair.run();
  EXPECT_EQ(pair.acceptor.count(EventType::notify), 6u);
}

TEST_F(SessionCritical, bulk_goes_on_as_it_is_read) {
  pair.run();
  EXPECT_EQ(pair.acceptor.count(EventType::notify), 4u);
  EXPECT_EQ(queued(), 0u);
}

}  // namespace
}  // namespace valkyrie::protocol
