// Windows that grow, on a virtual link with a delay and a rate.
#include <deque>
#include <gtest/gtest.h>
#include <random>
#include <string>

#include "protocol/frame.h"
#include "protocol/frame_body.h"
#include "protocol/session_pair.h"

namespace valkyrie::protocol {
namespace {

using testing::bytes_of;
using testing::Pair;
using testing::Side;
using namespace std::chrono_literals;

// A dialer that sends all that it may on its streams, a link, and an acceptor that takes it.
class Link {
 public:
  Link(Duration round_trip, std::uint64_t bytes_per_second, const SessionConfig& acceptor = {},
       std::uint64_t reads_per_second = UINT64_MAX)
      : pair({}, acceptor),
        delay_(round_trip / 2),
        bytes_per_second_(bytes_per_second),
        reads_per_second_(reads_per_second) {
    pair.acceptor.on_event = [this](const Event& event) {
      if (event.type != EventType::data) return;
      arrived += event.payload.size();
      unread_.push_back({event.stream, event.cost});
    };
    pair.run();
  }

  std::uint32_t open() {
    streams_.push_back(*pair.dialer.session.open_stream(StreamKind::stream, 0, {}, 0));
    return streams_.back();
  }

  // Lets time pass in small steps.
  void run(Duration time) {
    constexpr Duration kStep = 500us;
    const auto share = [](std::uint64_t per_second) {
      return per_second == UINT64_MAX ? SIZE_MAX : static_cast<std::size_t>(per_second / 2000);
    };
    for (Duration passed{}; passed < time; passed += kStep) {
      pair.now += kStep;
      for (const std::uint32_t stream : streams_) fill(stream);
      put(pair.dialer, up_, share(bytes_per_second_));
      put(pair.acceptor, down_, SIZE_MAX);
      take(up_, pair.acceptor);
      read(share(reads_per_second_));
      take(down_, pair.dialer);
      peak_held = std::max(peak_held, pair.acceptor.session.held_bytes());
    }
  }

  // Payload that arrives in a second, once it runs as it does.
  std::uint64_t rate() {
    const std::uint64_t before = arrived;
    run(1s);
    return arrived - before;
  }

  Pair pair;
  std::uint64_t arrived = 0;
  std::uint64_t peak_held = 0;
  std::uint64_t pings = 0;  // From the acceptor.

 private:
  struct Piece {
    Instant due;
    std::vector<std::byte> bytes;
  };
  struct Unread {
    std::uint32_t stream = 0;
    std::uint32_t cost = 0;
  };

  void fill(std::uint32_t stream) {
    static const std::string text(16'000, 'x');
    while (pair.dialer.session.writable(stream) && pair.dialer.session.queued_bytes() < 1'000'000) {
      if (!pair.dialer.session.send_data(stream, {.payload = bytes_of(text)})) return;
    }
  }
  void put(Side& from, std::deque<Piece>& pipe, std::size_t most) {
    auto bytes = from.take_output(pair.now, most);
    if (&pipe == &down_) count_pings(bytes);
    if (!bytes.empty()) pipe.push_back({pair.now + delay_, std::move(bytes)});
  }
  void count_pings(const std::vector<std::byte>& bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      const FrameHeader header =
          *decode_header(std::span<const std::byte, kHeaderBytes>(&bytes[at], kHeaderBytes),
                         kFrameBodyBytesDefault);
      if (header.type == FrameType::ping) ++pings;
      at += kHeaderBytes + header.body_bytes;
    }
  }
  void take(std::deque<Piece>& pipe, Side& to) {
    for (; !pipe.empty() && pipe.front().due <= pair.now; pipe.pop_front()) {
      to.session.receive(pipe.front().bytes, pair.now);
      to.poll();
      to.events.clear();
    }
  }
  void read(std::size_t most) {
    for (may_read_ += static_cast<double>(most); !unread_.empty() && may_read_ > 0;
         unread_.pop_front()) {
      pair.acceptor.session.consume(unread_.front().stream, unread_.front().cost);
      may_read_ -= unread_.front().cost;
    }
    if (unread_.empty()) may_read_ = 0;
  }

  const Duration delay_;
  const std::uint64_t bytes_per_second_;
  const std::uint64_t reads_per_second_;
  std::vector<std::uint32_t> streams_;
  std::deque<Piece> up_;
  std::deque<Piece> down_;
  std::deque<Unread> unread_;
  double may_read_ = 0;
};

TEST(SessionWindows, a_stream_fills_a_long_path) {
  Link link(50ms, 100'000'000);
  link.open();
  link.run(2s);
  EXPECT_GE(link.rate(), 90'000'000u);
}

// Any path that the caps allow is filled to nine tenths, with a window that is not absurd.
TEST(SessionWindows, any_path_within_the_caps_is_filled) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 12; ++i) {
    const auto round_trip = Duration(1ms) * (2 + random() % 120);
    const std::uint64_t bytes_per_second = 1'000'000 + random() % 60'000'000;
    const auto path = static_cast<std::uint64_t>(static_cast<double>(bytes_per_second) *
                                                 std::chrono::duration<double>(round_trip).count());
    Link link(round_trip, bytes_per_second);
    const std::uint32_t stream = link.open();
    link.run(4s);
    EXPECT_GE(link.rate(), bytes_per_second / 10 * 9)
        << round_trip.count() << " ns, " << bytes_per_second << " bytes/s";
    EXPECT_LE(link.pair.dialer.session.send_credit(stream),
              4 * path + 4 * kStreamCreditBytesDefault);
  }
}

TEST(SessionWindows, without_growth_the_window_holds_the_sender_back) {
  SessionConfig fixed;
  fixed.limits.stream_window_bytes_max = kStreamCreditBytesDefault;
  Link link(50ms, 100'000'000, fixed);
  link.open();
  link.run(2s);
  EXPECT_LT(link.rate(), 2'000'000u);
}

TEST(SessionWindows, a_slow_reader_gets_no_larger_window) {
  Link link(50ms, 100'000'000, {}, /*reads_per_second=*/200'000);
  link.open();
  link.run(5s);
  EXPECT_LE(link.peak_held, kStreamCreditBytesDefault);
}

TEST(SessionWindows, all_streams_together_grow_within_the_budget_of_held_bytes) {
  SessionConfig small;
  small.limits.held_bytes_max = 2'000'000;
  Link link(50ms, 400'000'000, small);
  for (int i = 0; i < 20; ++i) link.open();
  link.run(3s);
  std::uint64_t credit = 0;
  for (std::uint32_t i = 0; i < 20; ++i) {
    credit += link.pair.dialer.session.send_credit(1 + 2 * i);
  }
  EXPECT_LE(credit, 1'000'000u + 20 * kStreamCreditBytesDefault);
  EXPECT_GT(link.arrived, 0u);
}

TEST(SessionWindows, a_stream_that_is_over_gives_its_growth_to_the_next) {
  SessionConfig small;
  small.limits.held_bytes_max = 4'000'000;
  Link link(20ms, 50'000'000, small);
  for (int round = 0; round < 20; ++round) {
    const std::uint32_t stream = link.open();
    link.run(500ms);
    EXPECT_GE(link.rate(), 25'000'000u) << round;
    link.pair.dialer.session.reset(stream, CloseCode::cancelled);
    link.run(50ms);
  }
}

TEST(SessionWindows, probes_are_few_and_only_while_data_flows) {
  Link link(10ms, 50'000'000);
  link.run(3s);
  EXPECT_EQ(link.pings, 0u) << "nothing flows";
  const std::uint32_t stream = link.open();
  link.run(10s);
  EXPECT_GE(link.pings, 8u);
  EXPECT_LE(link.pings, 11u);
  link.pair.dialer.session.reset(stream, CloseCode::cancelled);
  link.run(100ms);
  const std::uint64_t before = link.pings;
  link.run(5s);
  EXPECT_EQ(link.pings, before);
}

// A PONG that nobody asked for says nothing about the path.
TEST(SessionWindows, a_pong_out_of_the_blue_changes_nothing) {
  Link link(50ms, 100'000'000);
  std::array<std::byte, kHeaderBytes + PingBody::kBytes> pong;
  encode_header({.type = FrameType::pong, .body_bytes = PingBody::kBytes},
                std::span<std::byte, kHeaderBytes>(pong.data(), kHeaderBytes));
  PingBody{0x6B656570'70726F62}.encode(
      std::span<std::byte, PingBody::kBytes>(pong.data() + kHeaderBytes, PingBody::kBytes));
  link.pair.acceptor.session.receive(pong, link.pair.now);
  link.pair.acceptor.poll();
  EXPECT_EQ(link.pair.acceptor.count(EventType::pong), 0u);
  link.open();
  link.run(2s);
  EXPECT_GE(link.rate(), 90'000'000u);
}

}  // namespace
}  // namespace valkyrie::protocol
