// Limits, time and the end of sessions, from both sides of each bound.
#include <gtest/gtest.h>
#include <string>

#include "protocol/frame.h"
#include "protocol/session_pair.h"

namespace valkyrie::protocol {
namespace {

using testing::bytes_of;
using testing::Pair;
using namespace std::chrono_literals;

// A header by hand, for what a well-behaved session never sends.
std::vector<std::byte> frame(FrameType type, std::uint32_t stream, std::string_view body,
                             std::uint32_t correlation = 0, std::uint8_t qos = 0,
                             std::uint8_t flags = 0) {
  std::vector<std::byte> bytes(kHeaderBytes);
  encode_header({.type = type,
                 .flags = flags,
                 .qos = qos,
                 .stream = stream,
                 .body_bytes = static_cast<std::uint32_t>(body.size()),
                 .correlation = correlation},
                std::span<std::byte, kHeaderBytes>(bytes.data(), kHeaderBytes));
  bytes.insert(bytes.end(), bytes_of(body).begin(), bytes_of(body).end());
  return bytes;
}

CloseCode code_after(Pair& pair, const std::vector<std::byte>& bytes) {
  pair.acceptor.session.receive(bytes, pair.now);
  pair.acceptor.poll();
  if (!pair.acceptor.session.closed()) return CloseCode::none;
  return pair.acceptor.all(EventType::closed).at(0).event.code;
}

TEST(SessionLimit, streams_up_to_the_allowance_open_and_no_more) {
  SessionConfig few;
  few.limits.peer_streams_max = 3;
  Pair pair({}, few);
  pair.run();
  for (int i = 0; i < 3; ++i) EXPECT_NE(pair.open_call(), 0u);
  const auto fourth = pair.dialer.session.open_stream(StreamKind::call, 0, {}, 0);
  ASSERT_FALSE(fourth);
  EXPECT_EQ(fourth.error(), SendError::stream_limit);
  pair.run();
  EXPECT_FALSE(pair.acceptor.session.closed());
  EXPECT_EQ(
      code_after(pair, frame(FrameType::stream_open, 7, std::string("\1\0", 2), 0, kQosDefault)),
      CloseCode::stream_limit);
}

TEST(SessionLimit, closed_streams_give_their_places_back) {
  SessionConfig few;
  few.limits.peer_streams_max = 4;
  Pair pair({}, few);
  pair.run();
  for (int round = 0; round < 50; ++round) {
    const std::uint32_t stream = pair.open_call();
    ASSERT_NE(stream, 0u) << round;
    ASSERT_TRUE(pair.dialer.session.send_end(stream));
    pair.run();
  }
  EXPECT_EQ(pair.acceptor.session.stream_count(), 0u);
}

TEST(SessionLimit, the_last_byte_of_stream_credit_is_legal_and_one_more_is_not) {
  for (const std::size_t excess : {0u, 1u}) {
    Pair pair;
    pair.run();
    const auto stream = pair.dialer.session.open_stream(StreamKind::stream, 0, {}, 0);
    pair.run();
    const std::string half(kStreamCreditBytesDefault / 2 - kHeaderBytes, 'x');
    EXPECT_EQ(code_after(pair, frame(FrameType::stream_data, *stream, half, 0, kQosDefault)),
              CloseCode::none);
    EXPECT_EQ(code_after(pair, frame(FrameType::stream_data, *stream,
                                     half + std::string(excess, 'x'), 0, kQosDefault)),
              excess == 0 ? CloseCode::none : CloseCode::flow_control);
  }
}

TEST(SessionLimit, a_stalled_stream_holds_its_window_and_starves_no_other) {
  Pair pair;
  pair.run();
  const std::uint32_t stalled = pair.open_call("a.Stalled");
  const std::uint32_t other = pair.open_call("a.Other");
  pair.acceptor.on_event = [&](const Event& event) {
    if (event.type == EventType::request && event.stream == other) {
      (void)pair.acceptor.session.send_response(event.stream, event.correlation, {});
      pair.acceptor.session.consume(event.stream, event.cost);
    }
  };
  const std::string payload(1000, 'x');
  for (int i = 0; i < 400; ++i) {
    (void)pair.dialer.session.send_request(stalled, {.payload = bytes_of(payload)});
    (void)pair.dialer.session.send_request(other, {.payload = bytes_of(payload)});
    pair.run();
  }
  EXPECT_EQ(pair.dialer.count(EventType::response), 400u);
  EXPECT_LE(pair.acceptor.session.held_bytes(), kStreamCreditBytesDefault);
}

TEST(SessionLimit, held_bytes_over_the_budget_refuse_the_newest_incomplete_message) {
  SessionConfig tight;
  tight.limits.held_bytes_max = 200'000;
  Pair pair({}, tight);
  pair.run();
  const std::uint32_t stream = pair.open_call();
  const std::string fits(150'000, 'x');
  const std::string over(250'000, 'x');
  ASSERT_TRUE(pair.dialer.session.send_request(stream, {.payload = bytes_of(fits), .cookie = 1}));
  pair.run();
  EXPECT_EQ(pair.acceptor.count(EventType::request), 1u);
  const std::uint32_t second = pair.open_call();
  ASSERT_TRUE(pair.dialer.session.send_request(second, {.payload = bytes_of(over), .cookie = 2}));
  pair.run();
  const auto responses = pair.dialer.all(EventType::response);
  ASSERT_EQ(responses.size(), 1u);
  EXPECT_EQ(responses[0].event.cookie, 2u);
  EXPECT_EQ(responses[0].status, StatusCode::resource_exhausted);
  EXPECT_EQ(responses[0].outcome, Outcome::not_executed);
}

TEST(SessionLimit, the_queue_for_a_peer_that_takes_nothing_is_bounded) {
  SessionConfig narrow;
  narrow.limits.queued_bytes_max = 100'000;
  Pair pair(narrow, {});
  pair.run();
  const std::uint32_t stream = pair.open_call();
  const std::string payload(10'000, 'x');
  SendError error = SendError::unknown;
  for (int i = 0; i < 100; ++i) {
    const auto sent = pair.dialer.session.send_request(stream, {.payload = bytes_of(payload)});
    if (!sent) {
      error = sent.error();
      break;
    }
  }
  EXPECT_EQ(error, SendError::queue_full);
  EXPECT_LE(pair.dialer.session.queued_bytes(), 100'000u + 20'000u);
}

TEST(SessionLimit, a_handshake_has_until_its_timeout_whatever_trickles_in) {
  Pair pair;
  const auto hello = pair.dialer.take_output(pair.now);
  const Instant start = pair.now;
  pair.acceptor.session.receive(std::span(hello).first(10), start + 9s);
  pair.acceptor.poll();
  pair.acceptor.session.on_deadline(start + 10s - 1ns);
  pair.acceptor.poll();
  EXPECT_FALSE(pair.acceptor.session.closed());
  EXPECT_EQ(pair.acceptor.session.deadline(), start + 10s);
  pair.acceptor.session.on_deadline(start + 10s);
  pair.acceptor.poll();
  ASSERT_TRUE(pair.acceptor.session.closed());
  EXPECT_EQ(pair.acceptor.events.back().event.code, CloseCode::handshake_timeout);
}

TEST(SessionLimit, silence_brings_pings_and_three_intervals_of_it_the_end) {
  Pair pair;
  pair.run();
  pair.advance(30s);
  EXPECT_FALSE(pair.dialer.session.closed());
  EXPECT_EQ(pair.dialer.count(EventType::pong), 0u) << "its own pings are no events";
  // From now on the dialer hears nothing.
  const Instant heard = pair.now;
  pair.dialer.session.on_deadline(heard + 90s - 1ns);
  EXPECT_FALSE(pair.dialer.session.closed());
  pair.dialer.session.on_deadline(heard + 90s);
  EXPECT_TRUE(pair.dialer.session.closed());
}

TEST(SessionLimit, a_peer_that_reads_nothing_is_given_up_after_the_stall_limit) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  ASSERT_TRUE(pair.dialer.session.send_request(stream, {}));
  std::span<const std::byte> pieces[4];
  ASSERT_GT(pair.dialer.session.gather(pieces, 1000), 0u);
  pair.dialer.session.written(0, pair.now);
  // Other bytes keep coming, so it is not the keepalive that ends it.
  pair.acceptor.session.ping(1);
  pair.carry(pair.acceptor, pair.dialer);
  pair.dialer.session.on_deadline(pair.now + kStallTimeoutDefault - 1ns);
  EXPECT_FALSE(pair.dialer.session.closed());
  pair.dialer.session.on_deadline(pair.now + kStallTimeoutDefault);
  pair.dialer.poll();
  ASSERT_TRUE(pair.dialer.session.closed());
  EXPECT_EQ(pair.dialer.events.back().event.code, CloseCode::slow_peer);
}

TEST(SessionLimit, a_stream_whose_only_waiting_request_was_cancelled_is_not_stalled) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  const std::string window(kStreamCreditBytesDefault - kHeaderBytes, 'x');
  ASSERT_TRUE(pair.dialer.session.send_request(stream, {.payload = bytes_of(window)}));
  const auto waits = pair.dialer.session.send_request(stream, {.payload = bytes_of("x")});
  ASSERT_TRUE(waits && waits->waiting);
  pair.run();
  pair.dialer.session.on_deadline(pair.now);
  pair.dialer.session.cancel(stream, waits->correlation);
  // Other bytes keep coming, so it is not the keepalive that ends it.
  pair.now += kStallTimeoutDefault - 1ns;
  pair.acceptor.session.ping(1);
  pair.run();
  pair.now += 1s;
  pair.dialer.session.on_deadline(pair.now);
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::reset), 0u);
  EXPECT_FALSE(pair.dialer.session.closed());
}

TEST(SessionLimit, a_stream_without_credit_is_reset_after_the_stall_limit_and_others_live) {
  SessionConfig patient;
  patient.limits.stall_timeout = 10s;
  Pair pair(patient, {});
  pair.run();
  const auto stream = pair.dialer.session.open_stream(StreamKind::stream, 0, {}, 0);
  const std::string payload(100'000, 'x');
  ASSERT_TRUE(pair.dialer.session.send_data(*stream, {.payload = bytes_of(payload)})->waiting);
  pair.run();  // The acceptor consumes nothing.
  pair.dialer.session.on_deadline(pair.now);
  pair.dialer.session.on_deadline(pair.now + 10s - 1ns);
  EXPECT_EQ(pair.dialer.session.stream_count(), 1u);
  pair.dialer.session.on_deadline(pair.now + 10s);
  pair.dialer.poll();
  const auto resets = pair.dialer.all(EventType::reset);
  ASSERT_EQ(resets.size(), 1u);
  EXPECT_EQ(resets[0].event.code, CloseCode::slow_peer);
  EXPECT_FALSE(pair.dialer.session.closed());
}

// Sends come without a time. However long ago the session last heard one, the wait counts from when
// the owner looks at the deadline, as it does after each turn.
TEST(SessionLimit, a_stall_that_begins_after_a_long_silence_lasts_as_long_as_any) {
  Pair pair;
  pair.run();
  const auto stream = pair.dialer.session.open_stream(StreamKind::stream, 0, {}, 0);
  const std::string window(kStreamCreditBytesDefault - kHeaderBytes, 'x');
  ASSERT_FALSE(pair.dialer.session.send_data(*stream, {.payload = bytes_of(window)})->waiting);
  pair.run();  // The acceptor consumes nothing.
  pair.now += kStallTimeoutDefault - 1s;
  ASSERT_TRUE(pair.dialer.session.send_data(*stream, {.payload = bytes_of("x")})->waiting);
  const Instant begun = pair.now;
  ASSERT_LE(*pair.dialer.session.deadline(), begun) << "it wants to know the time";
  pair.dialer.session.on_deadline(begun);
  pair.acceptor.session.ping(1);
  pair.carry(pair.acceptor, pair.dialer);
  EXPECT_EQ(*pair.dialer.session.deadline(), begun + kStallTimeoutDefault);
  pair.dialer.session.on_deadline(begun + kStallTimeoutDefault - 1ns);
  EXPECT_EQ(pair.dialer.session.stream_count(), 1u);
  pair.dialer.session.on_deadline(begun + kStallTimeoutDefault);
  pair.dialer.poll();
  ASSERT_EQ(pair.dialer.count(EventType::reset), 1u);
}

TEST(SessionLimit, control_frames_within_the_budget_pass_and_one_more_is_a_flood) {
  SessionConfig strict;
  strict.limits.control_frames_burst = 100;
  strict.limits.control_frames_per_second = 10;
  Pair pair({}, strict);
  pair.run();  // Spends some of it on the grease of the hello.
  std::size_t sent = 0;
  while (!pair.acceptor.session.closed() && sent < 200) {
    (void)code_after(pair, frame(FrameType::ping, 0, "12345678"));
    (void)pair.acceptor.take_output(pair.now);
    ++sent;
  }
  EXPECT_EQ(sent, 100u) << "99 and the grease frame of the hello, then one too many";
  EXPECT_EQ(pair.acceptor.events.back().event.code, CloseCode::flood);
}

TEST(SessionLimit, control_output_that_nobody_reads_is_bounded) {
  SessionConfig narrow;
  narrow.limits.control_output_bytes_max = kControlOutputBytesMin;
  narrow.limits.control_frames_burst = 1'000'000;
  Pair pair({}, narrow);
  pair.run();
  const auto ping = frame(FrameType::ping, 0, "12345678");
  for (int i = 0; i < 10'000 && !pair.acceptor.session.closed(); ++i) (void)code_after(pair, ping);
  ASSERT_TRUE(pair.acceptor.session.closed());
  EXPECT_EQ(pair.acceptor.events.back().event.code, CloseCode::flood);
  EXPECT_LE(pair.acceptor.session.queued_bytes(), kControlOutputBytesMin + 1000u);
}

TEST(SessionEnd, drain_answers_what_runs_refuses_the_new_and_then_closes) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  (void)pair.dialer.session.send_request(stream, {.cookie = 1});
  pair.run();
  pair.acceptor.session.drain(30s, pair.now);
  pair.run();
  ASSERT_EQ(pair.dialer.count(EventType::goaway), 1u);
  EXPECT_EQ(pair.dialer.session.send_request(stream, {}).error(), SendError::draining);
  EXPECT_EQ(pair.dialer.session.open_stream(StreamKind::call, 0, {}, 0).error(),
            SendError::draining);
  EXPECT_FALSE(pair.acceptor.session.closed());
  ASSERT_TRUE(pair.acceptor.session.send_response(stream, 1, {.payload = bytes_of("done")}));
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::response), 1u);
  EXPECT_TRUE(pair.acceptor.session.closed());
  EXPECT_EQ(pair.dialer.events.back().event.code, CloseCode::draining);
}

TEST(SessionEnd, a_drain_that_runs_out_of_time_resets_what_is_left_with_true_outcomes) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  (void)pair.dialer.session.send_request(stream, {.cookie = 1});
  pair.run();
  pair.acceptor.session.drain(5s, pair.now);
  pair.run();
  pair.advance(5s);
  EXPECT_TRUE(pair.acceptor.session.closed());
  EXPECT_EQ(pair.acceptor.count(EventType::abandoned), 1u);
  const auto failed = pair.dialer.all(EventType::request_failed);
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].event.outcome, Outcome::maybe_executed);
  EXPECT_TRUE(pair.dialer.session.closed());
}

TEST(SessionEnd, close_says_why_to_the_peer_and_ends_everything_here) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  (void)pair.dialer.session.send_request(stream, {.cookie = 1});
  pair.run();
  pair.acceptor.session.close(CloseCode::forbidden, "no entry");
  pair.run();
  EXPECT_EQ(pair.acceptor.count(EventType::abandoned), 1u);
  const auto closed = pair.dialer.all(EventType::closed);
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0].event.code, CloseCode::forbidden);
  EXPECT_EQ(closed[0].status_text, "no entry");
  EXPECT_FALSE(closed[0].event.local);
  EXPECT_EQ(pair.dialer.all(EventType::request_failed).size(), 1u);
}

TEST(SessionStream, both_directions_carry_messages_and_parts_and_end_in_order) {
  Pair pair;
  pair.run();
  const auto stream = pair.dialer.session.open_stream(StreamKind::stream, 0, {}, 11);
  pair.acceptor.on_event = [&](const Event& event) {
    if (event.type == EventType::data) {
      (void)pair.acceptor.session.send_data(event.stream, {.payload = event.payload}, event.more);
      pair.acceptor.session.consume(event.stream, event.cost);
    }
    if (event.type == EventType::end) {
      std::array<std::byte, 64> buffer;
      MetadataWriter writer(buffer);
      writer.status({.code = StatusCode::ok, .outcome = Outcome::executed, .text = "bye"});
      (void)pair.acceptor.session.send_end(event.stream, *writer.finish());
    }
  };
  pair.dialer.on_event = [&](const Event& event) {
    if (event.type == EventType::data) pair.dialer.session.consume(event.stream, event.cost);
  };
  const std::string large(200'000, 'y');
  ASSERT_TRUE(pair.dialer.session.send_data(*stream, {.payload = bytes_of("one")}));
  ASSERT_TRUE(pair.dialer.session.send_data(*stream, {}));
  ASSERT_TRUE(pair.dialer.session.send_data(*stream, {.payload = bytes_of("tw")}, /*more=*/true));
  ASSERT_TRUE(pair.dialer.session.send_data(*stream, {.payload = bytes_of("o")}));
  ASSERT_TRUE(pair.dialer.session.send_data(*stream, {.payload = bytes_of(large)}));
  ASSERT_TRUE(pair.dialer.session.send_end(*stream));
  pair.run();
  std::vector<std::string> messages(1);
  for (const auto& seen : pair.dialer.all(EventType::data)) {
    messages.back() += seen.payload;
    if (!seen.event.more) messages.emplace_back();
  }
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[0], "one");
  EXPECT_EQ(messages[1], "");
  EXPECT_EQ(messages[2], "two");
  EXPECT_TRUE(messages[3] == large);
  const auto ends = pair.dialer.all(EventType::end);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].status_text, "bye");
  EXPECT_EQ(pair.dialer.count(EventType::stream_closed), 1u);
  EXPECT_EQ(pair.dialer.session.held_bytes(), 0u);
  EXPECT_EQ(pair.acceptor.session.held_bytes(), 0u);
}

}  // namespace
}  // namespace valkyrie::protocol
