// Streams of messages as a session sees them: every length, both half-closes, every way to end, and
// what a peer must not do.
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "protocol/frame.h"
#include "protocol/frame_body.h"
#include "protocol/properties.h"
#include "protocol/session_pair.h"

namespace valkyrie::protocol {
namespace {

using testing::bytes_of;
using testing::Pair;
using testing::Side;
using namespace std::chrono_literals;

// A frame by hand, for what a well-behaved session never sends.
std::vector<std::byte> frame(FrameType type, std::uint32_t stream, std::string_view body,
                             std::uint8_t flags = 0) {
  const bool control = kFrameProperties[static_cast<std::size_t>(type)].control;
  std::vector<std::byte> bytes(kHeaderBytes);
  encode_header({.type = type,
                 .flags = flags,
                 .qos = control ? std::uint8_t{0} : kQosDefault,
                 .stream = stream,
                 .body_bytes = static_cast<std::uint32_t>(body.size())},
                std::span<std::byte, kHeaderBytes>(bytes.data(), kHeaderBytes));
  bytes.insert(bytes.end(), bytes_of(body).begin(), bytes_of(body).end());
  return bytes;
}

std::string body_of(CreditBody body) {
  std::array<std::byte, CreditBody::kBytes> bytes;
  body.encode(bytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The acceptor gets bytes that its peer made up; why it then ended the session.
CloseCode code_after(Pair& pair, const std::vector<std::byte>& bytes) {
  pair.acceptor.session.receive(bytes, pair.now);
  pair.acceptor.poll();
  if (!pair.acceptor.session.closed()) return CloseCode::none;
  return pair.acceptor.all(EventType::closed).at(0).event.code;
}

std::uint32_t open(Pair& pair) {
  return *pair.dialer.session.open_stream(StreamKind::stream, 0, {}, 0);
}

// The messages that came on the only stream, put together.
std::vector<std::string> messages(const Side& side) {
  std::vector<std::string> whole;
  std::string part;
  for (const auto& seen : side.all(EventType::data)) {
    part += seen.payload;
    if (!seen.event.more) whole.push_back(std::exchange(part, {}));
  }
  return whole;
}

void consume_at_once(Side& side) {
  side.on_event = [&side](const Event& event) {
    if (event.type == EventType::data) side.session.consume(event.stream, event.cost);
  };
}

TEST(SessionStream, messages_of_every_length_arrive_whole_in_any_pieces) {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{19}, std::size_t{4096}, SIZE_MAX}) {
    Pair pair;
    consume_at_once(pair.acceptor);
    pair.run();
    const std::uint32_t stream = open(pair);
    const std::size_t sizes[] = {0, 1, 0, 65'516, 65'517, 0, 100'000};
    for (const std::size_t size : sizes) {
      const std::string text(size, 'x');
      ASSERT_TRUE(pair.dialer.session.send_data(stream, {.payload = bytes_of(text)}));
    }
    pair.run(piece);
    const auto got = messages(pair.acceptor);
    ASSERT_EQ(got.size(), std::size(sizes)) << piece;
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].size(), sizes[i]);
    EXPECT_EQ(pair.acceptor.session.held_bytes(), 0u);
  }
}

TEST(SessionStream, each_side_ends_by_itself) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = open(pair);
  ASSERT_TRUE(pair.dialer.session.send_end(stream));
  pair.run();
  EXPECT_EQ(pair.acceptor.count(EventType::end), 1u);
  EXPECT_EQ(pair.acceptor.count(EventType::stream_closed), 0u);
  EXPECT_EQ(pair.dialer.session.send_data(stream, {}).error(), SendError::closed);
  ASSERT_TRUE(pair.acceptor.session.send_data(stream, {.payload = bytes_of("still")}));
  ASSERT_TRUE(pair.acceptor.session.send_end(stream));
  pair.run();
  EXPECT_EQ(messages(pair.dialer), std::vector<std::string>{"still"});
  EXPECT_EQ(pair.dialer.count(EventType::stream_closed), 1u);
  EXPECT_EQ(pair.acceptor.count(EventType::stream_closed), 1u);
}

TEST(SessionStream, data_after_half_close_ends_the_connection) {
  for (const FrameType late : {FrameType::stream_data, FrameType::end, FrameType::credit}) {
    Pair pair;
    pair.run();
    const std::uint32_t stream = open(pair);
    ASSERT_TRUE(pair.dialer.session.send_end(stream));
    pair.run();
    const std::string body = late == FrameType::credit ? body_of(CreditBody{1u << 20u}) : "";
    const CloseCode expected = late == FrameType::stream_data ? CloseCode::stream_closed
                               : late == FrameType::end       ? CloseCode::protocol_violation
                                                              : CloseCode::none;
    EXPECT_EQ(code_after(pair, frame(late, stream, body)), expected);
  }
}

TEST(SessionStream, data_after_reset_ends_the_connection_and_control_frames_do_not) {
  for (const FrameType late : {FrameType::stream_data, FrameType::end, FrameType::credit}) {
    Pair pair;
    pair.run();
    const std::uint32_t stream = open(pair);
    pair.run();
    pair.dialer.session.reset(stream, CloseCode::cancelled);
    pair.run();
    EXPECT_EQ(pair.acceptor.all(EventType::reset).at(0).event.code, CloseCode::cancelled);
    const std::string body = late == FrameType::credit ? body_of(CreditBody{1u << 20u}) : "";
    const bool fatal = late == FrameType::stream_data;
    EXPECT_EQ(code_after(pair, frame(late, stream, body)),
              fatal ? CloseCode::stream_closed : CloseCode::none);
  }
}

TEST(SessionStream, data_that_crosses_a_reset_is_discarded_and_costs_credit_as_ever) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = open(pair);
  pair.run();
  pair.acceptor.session.reset(stream, CloseCode::refused);
  const std::string text(1000, 'x');
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(code_after(pair, frame(FrameType::stream_data, stream, text)), CloseCode::none);
  }
  EXPECT_EQ(pair.acceptor.count(EventType::data), 0u);
  EXPECT_EQ(pair.acceptor.session.held_bytes(), 0u);
  EXPECT_EQ(code_after(pair, frame(FrameType::stream_data, stream, std::string(60'000, 'x'))),
            CloseCode::flow_control)
      << "the window of the stream holds still";
}

TEST(SessionStream, an_end_inside_a_message_ends_the_connection) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = open(pair);
  pair.run();
  EXPECT_EQ(code_after(pair, frame(FrameType::stream_data, stream, "half", kFlagMore)),
            CloseCode::none);
  EXPECT_EQ(code_after(pair, frame(FrameType::end, stream, "")), CloseCode::protocol_violation);
}

TEST(SessionStream, a_message_at_the_limit_passes_and_one_byte_more_is_refused_here) {
  SessionConfig small;
  small.limits.stream_message_bytes_max = 100'000;
  Pair pair({}, small);
  consume_at_once(pair.acceptor);
  pair.run();
  const std::uint32_t stream = open(pair);
  const std::string text(100'001, 'x');
  EXPECT_EQ(pair.dialer.session.send_data(stream, {.payload = bytes_of(text)}).error(),
            SendError::too_large);
  const auto fits = std::string_view(text).substr(1);
  ASSERT_TRUE(pair.dialer.session.send_data(stream, {.payload = bytes_of(fits)}));
  pair.run();
  EXPECT_EQ(messages(pair.acceptor).at(0).size(), 100'000u);
}

TEST(SessionStream, a_message_over_the_receivers_limit_resets_the_stream_and_nothing_else) {
  for (const std::size_t size : {100'000u, 100'001u}) {
    SessionConfig small;
    small.limits.stream_message_bytes_max = 100'000;
    Pair pair({}, small);
    consume_at_once(pair.acceptor);
    pair.run();
    const std::uint32_t stream = open(pair);
    const std::string part(size - 50'000, 'x');
    ASSERT_TRUE(pair.dialer.session.send_data(
        stream, {.payload = bytes_of(std::string(50'000, 'x'))}, /*more=*/true));
    ASSERT_TRUE(pair.dialer.session.send_data(stream, {.payload = bytes_of(part)}));
    pair.run();
    const auto resets = pair.dialer.all(EventType::reset);
    ASSERT_EQ(resets.size(), size > 100'000 ? 1u : 0u);
    if (!resets.empty()) {
      EXPECT_EQ(resets[0].event.code, CloseCode::too_large);
    }
    EXPECT_TRUE(pair.dialer.session.ready());
    EXPECT_TRUE(pair.acceptor.session.ready());
  }
}

TEST(SessionStream, credit_that_is_repeated_or_goes_back_changes_nothing) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = open(pair);
  pair.run();
  const auto grant = [&](std::uint64_t total) {
    EXPECT_EQ(code_after(pair, frame(FrameType::credit, stream, body_of(CreditBody{total}))),
              CloseCode::none);
    return pair.acceptor.session.send_credit(stream);
  };
  EXPECT_EQ(pair.acceptor.session.send_credit(stream), kStreamCreditBytesDefault);
  EXPECT_EQ(grant(100'000), 100'000u);
  EXPECT_EQ(grant(100'000), 100'000u) << "twice is once: credit is a total";
  EXPECT_EQ(grant(70'000), 100'000u);
  EXPECT_EQ(grant(UINT64_MAX), UINT64_MAX) << "the peer may promise what it likes";
}

TEST(SessionStream, credit_that_the_owner_returns_twice_aborts) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = open(pair);
  ASSERT_TRUE(pair.dialer.session.send_data(stream, {.payload = bytes_of("x")}));
  pair.run();
  const std::uint32_t cost = pair.acceptor.all(EventType::data).at(0).event.cost;
  EXPECT_EQ(cost, kHeaderBytes + 1);
  pair.acceptor.session.consume(stream, cost);
  EXPECT_DEATH(pair.acceptor.session.consume(stream, cost), "");
}

TEST(SessionStream, a_storm_of_opens_and_resets_is_a_flood) {
  SessionConfig config;
  config.limits.peer_resets_burst = 10;
  for (const int storms : {10, 11}) {
    Pair pair({}, config);
    pair.run();
    for (int i = 0; i < storms; ++i) {
      const std::uint32_t stream = open(pair);
      (void)pair.dialer.session.send_data(stream, {.payload = bytes_of("work")});
      pair.run();
      pair.dialer.session.reset(stream, CloseCode::cancelled);
      pair.run();
    }
    EXPECT_EQ(pair.acceptor.session.closed(), storms > 10);
    if (storms > 10) {
      EXPECT_EQ(pair.acceptor.all(EventType::closed).at(0).event.code, CloseCode::flood);
    }
  }
}

TEST(SessionStream, resets_come_back_with_time_and_with_streams_that_end_in_order) {
  SessionConfig config;
  config.limits.peer_resets_burst = 2;
  config.limits.peer_resets_per_second = 1;
  Pair pair({}, config);
  pair.run();
  const auto storm = [&] {
    const std::uint32_t stream = open(pair);
    pair.run();
    pair.dialer.session.reset(stream, CloseCode::cancelled);
    pair.run();
  };
  storm();
  storm();
  pair.advance(2s);
  storm();
  storm();
  const std::uint32_t good = open(pair);
  (void)pair.dialer.session.send_end(good);
  pair.run();
  (void)pair.acceptor.session.send_end(good);
  pair.run();
  storm();
  EXPECT_FALSE(pair.acceptor.session.closed());
  storm();
  EXPECT_TRUE(pair.acceptor.session.closed());
}

TEST(SessionStream, a_dialer_does_not_count_the_resets_that_its_node_passes_on) {
  SessionConfig config;
  config.limits.peer_resets_burst = 1;
  config.limits.peer_resets_per_second = 1;
  Pair pair(config, {});
  pair.run();
  for (int i = 0; i < 20; ++i) {
    const auto stream = pair.acceptor.session.open_stream(StreamKind::stream, 0, {}, 0);
    ASSERT_TRUE(stream);
    pair.run();
    pair.acceptor.session.reset(*stream, CloseCode::cancelled);
    pair.run();
  }
  EXPECT_FALSE(pair.dialer.session.closed());
}

TEST(SessionStream, the_outcome_of_a_reset_is_what_its_sender_had_done) {
  Pair pair;
  pair.run();
  const std::uint32_t taken = open(pair);
  pair.run();
  pair.acceptor.session.reset(taken, CloseCode::internal);
  const std::uint32_t refused = open(pair);
  pair.run();
  pair.acceptor.session.reset(refused, CloseCode::refused);
  pair.run();
  std::array<std::byte, 8> bad{std::byte{0x00}};
  const auto malformed =
      pair.dialer.session.open_stream(StreamKind::stream, 0, {.metadata = bad}, /*user=*/0);
  ASSERT_TRUE(malformed);
  pair.run();
  const auto resets = pair.dialer.all(EventType::reset);
  ASSERT_EQ(resets.size(), 3u);
  EXPECT_EQ(resets[0].event.outcome, Outcome::maybe_executed) << "it had been given to its service";
  EXPECT_EQ(resets[1].event.outcome, Outcome::not_executed) << "the code says so";
  EXPECT_EQ(resets[2].event.code, CloseCode::bad_metadata);
  EXPECT_EQ(resets[2].event.outcome, Outcome::not_executed) << "nobody ever saw it";
}

TEST(SessionStream, what_never_left_was_not_executed) {
  Pair pair;
  pair.run();
  const std::uint32_t left = open(pair);
  pair.run();
  const std::uint32_t queued = open(pair);
  pair.dialer.session.receive_eof(pair.now);
  pair.dialer.poll();
  for (const auto& seen : pair.dialer.all(EventType::reset)) {
    EXPECT_EQ(seen.event.outcome,
              seen.event.stream == left ? Outcome::maybe_executed : Outcome::not_executed);
    EXPECT_TRUE(seen.event.stream == left || seen.event.stream == queued);
  }
}

TEST(SessionStream, relayed_data_waits_beyond_the_queue_limit_and_stops_nothing_else) {
  SessionConfig narrow;
  narrow.limits.queued_bytes_max = 100'000;
  narrow.limits.held_bytes_max = 300'000;
  Pair pair(narrow, {});
  pair.run();
  const std::uint32_t stalled = open(pair);
  const std::string text(60'000, 'x');
  std::uint64_t taken = 0;
  for (;; ++taken) {
    const auto sent =
        pair.dialer.session.send_data(stalled, {.payload = bytes_of(text), .relayed = true});
    if (sent) continue;
    EXPECT_EQ(sent.error(), SendError::queue_full);
    break;
  }
  EXPECT_GE(taken, 4u);
  EXPECT_LE(pair.dialer.session.queued_bytes(), 300'000u + 100'000u);
  pair.run();
  EXPECT_GT(pair.dialer.session.queued_bytes(), 100'000u);
  const std::uint32_t other = open(pair);
  const auto passes = pair.dialer.session.send_data(other, {.payload = bytes_of("passes")});
  ASSERT_TRUE(passes);
  EXPECT_FALSE(passes->waiting);
}

TEST(SessionStream, the_status_of_an_end_is_forgotten_once_it_has_gone) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = open(pair);
  pair.run();
  std::array<std::byte, 64> buffer;
  MetadataWriter writer(buffer);
  writer.status({.code = StatusCode::aborted, .outcome = Outcome::executed, .text = "no"});
  ASSERT_TRUE(pair.acceptor.session.send_end(stream, *writer.finish()));
  pair.run();
  EXPECT_EQ(pair.acceptor.session.queued_bytes(), 0u);
}

// A frame of 60,000 bytes of data on a new stream, as the acceptor reads it.
std::vector<std::byte> long_frame(Pair& pair, std::uint32_t& stream) {
  pair.run();
  stream = open(pair);
  pair.run();
  static_cast<void>(
      pair.dialer.session.send_data(stream, {.payload = bytes_of(std::string(60'000, 'x'))}));
  return pair.dialer.take_output(pair.now);
}

void read(Pair& pair, std::span<const std::byte> bytes) {
  pair.acceptor.session.receive(bytes, pair.now);
  pair.acceptor.poll();
}

TEST(SessionStream, what_has_come_of_a_long_frame_is_handed_out_and_costs_what_the_frame_does) {
  Pair pair;
  std::uint32_t stream = 0;
  const auto bytes = long_frame(pair, stream);
  ASSERT_EQ(bytes.size(), kHeaderBytes + 60'000);
  read(pair, std::span(bytes).first(kHeaderBytes + 4095));
  EXPECT_EQ(pair.acceptor.count(EventType::data), 0u) << "little is not worth an event";
  read(pair, std::span(bytes).subspan(kHeaderBytes + 4095));
  EXPECT_EQ(messages(pair.acceptor).at(0).size(), 60'000u);

  Pair parted;
  const auto again = long_frame(parted, stream);
  const std::size_t cuts[] = {0, kHeaderBytes + 4096, 30'000, 30'001, again.size()};
  for (std::size_t i = 1; i < std::size(cuts); ++i) {
    read(parted, std::span(again).subspan(cuts[i - 1], cuts[i] - cuts[i - 1]));
    const auto seen = parted.acceptor.all(EventType::data);
    ASSERT_EQ(seen.size(), i);
    EXPECT_EQ(seen.back().event.more, cuts[i] < again.size());
    EXPECT_EQ(seen.back().event.to_come, again.size() - cuts[i]);
  }
  EXPECT_EQ(messages(parted.acceptor).at(0).size(), 60'000u);
  EXPECT_EQ(parted.acceptor.session.held_bytes(), again.size());
  for (const auto& seen : parted.acceptor.all(EventType::data)) {
    parted.acceptor.session.consume(stream, seen.event.cost);
  }
  EXPECT_EQ(parted.acceptor.session.held_bytes(), 0u);
}

TEST(SessionStream, the_rest_of_a_long_frame_is_thrown_away_after_a_reset) {
  Pair pair;
  std::uint32_t stream = 0;
  const auto bytes = long_frame(pair, stream);
  read(pair, std::span(bytes).first(20'000));
  pair.acceptor.session.reset(stream, CloseCode::cancelled);
  read(pair, std::span(bytes).subspan(20'000));
  EXPECT_EQ(pair.acceptor.count(EventType::data), 1u);
  EXPECT_EQ(pair.acceptor.session.held_bytes(), 0u);
  pair.run();
  EXPECT_FALSE(pair.acceptor.session.closed());
  const std::uint32_t other = open(pair);
  ASSERT_TRUE(pair.dialer.session.send_data(other, {.payload = bytes_of("goes on")}));
  pair.run();
  EXPECT_EQ(pair.acceptor.all(EventType::data).back().payload, "goes on");
}

TEST(SessionStream, a_long_frame_beyond_the_credit_is_found_at_its_beginning) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = open(pair);
  pair.run();
  const auto most = frame(FrameType::stream_data, stream,
                          std::string(kStreamCreditBytesDefault - kHeaderBytes, 'x'));
  EXPECT_EQ(code_after(pair, {most.begin(), most.begin() + 10'000}), CloseCode::none);
  Pair over;
  over.run();
  static_cast<void>(open(over));
  over.run();
  const auto more = frame(FrameType::stream_data, stream,
                          std::string(kStreamCreditBytesDefault - kHeaderBytes + 1, 'x'));
  EXPECT_EQ(code_after(over, {more.begin(), more.begin() + 10'000}), CloseCode::flow_control);
}

TEST(SessionStream, a_long_payload_may_be_kept_where_it_was_read_and_a_short_one_not) {
  Pair pair;
  std::uint32_t stream = 0;
  std::vector<std::byte> bytes = long_frame(pair, stream);
  const auto short_one = frame(FrameType::stream_data, stream, "short");
  bytes.insert(bytes.end(), short_one.begin(), short_one.end());
  const auto slab = std::make_shared<const std::vector<std::byte>>(bytes);
  const std::shared_ptr<const void> keeper = slab;
  std::vector<std::shared_ptr<const void>> kept;
  pair.acceptor.on_event = [&](const Event&) {
    kept.push_back(pair.acceptor.session.payload_owner());
  };
  pair.acceptor.session.receive(*slab, pair.now, &keeper);
  pair.acceptor.poll();
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0], keeper);
  EXPECT_EQ(kept[1], nullptr);
  EXPECT_EQ(pair.acceptor.session.payload_owner(), nullptr) << "all that was read is handled";
}

TEST(SessionStream, data_that_somebody_keeps_is_not_copied_even_while_it_waits) {
  Pair pair;
  consume_at_once(pair.acceptor);
  pair.run();
  const std::uint32_t stream = open(pair);
  const auto text = std::make_shared<const std::string>(40'000, 'x');
  for (int i = 0; i < 3; ++i) {
    const auto sent =
        pair.dialer.session.send_data(stream, {.payload = bytes_of(*text), .owner = text});
    ASSERT_TRUE(sent);
    EXPECT_EQ(sent->waiting, i > 0);
  }
  EXPECT_GE(text.use_count(), 4);
  EXPECT_GE(pair.dialer.session.queued_bytes(), 120'000u) << "it counts as if it were copied";
  pair.run();
  EXPECT_EQ(text.use_count(), 1);
  EXPECT_EQ(messages(pair.acceptor), std::vector<std::string>(3, *text));
}

TEST(SessionStream, what_is_relayed_is_copied_when_much_waits) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = open(pair);
  const auto text = std::make_shared<const std::string>(60'000, 'x');
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(pair.dialer.session.send_data(
        stream, {.payload = bytes_of(*text), .relayed = true, .owner = text}));
  }
  EXPECT_GT(text.use_count(), 4);
  EXPECT_LT(text.use_count(), 50);
}

}  // namespace
}  // namespace valkyrie::protocol
