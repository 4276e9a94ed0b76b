// The order in which frames leave: docs/spec/scheduling.md.
#include "protocol/output_queue.h"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace valkyrie::protocol {
namespace {

constexpr std::uint64_t kMuch = 1u << 30;

std::uint8_t qos(QosClass qos_class, unsigned urgency = kUrgencyDefault) {
  return qos_byte(qos_class, static_cast<std::uint8_t>(urgency));
}

// The bytes that leave, `step` at a time.
std::string all_bytes(OutputQueue& queue, std::size_t step) {
  std::string bytes;
  std::array<std::span<const std::byte>, 64> pieces;
  while (const std::size_t count = queue.gather(pieces, 100'000)) {
    std::size_t taken = 0;
    for (std::size_t i = 0; i < count && taken < step; ++i) {
      const auto piece = pieces[i].first(std::min(pieces[i].size(), step - taken));
      bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      taken += piece.size();
    }
    queue.written(taken);
  }
  return bytes;
}

// A queue with a connection credit, and what it gave out.
class Queue {
 public:
  explicit Queue(std::uint64_t credit = kMuch) { queue.add_connection_credit(credit); }

  Ticket push(std::uint8_t qos_byte, std::uint32_t stream, std::size_t body = 100,
              FrameType type = FrameType::stream_data) {
    const std::vector<std::byte> payload(body);
    const FrameHeader header{.type = type,
                             .qos = qos_byte,
                             .stream = stream,
                             .body_bytes = static_cast<std::uint32_t>(body)};
    return queue.push(queue.lane_for(qos_byte), header, {}, payload);
  }
  Ticket push_control(std::uint32_t stream) {
    const FrameHeader header{.type = FrameType::end, .stream = stream};
    return queue.push(OutputQueue::kControlLane, header, {}, {});
  }
  Ticket push_open(std::uint8_t qos_byte, std::uint32_t stream) {
    const std::array<std::byte, 2> body{};
    const FrameHeader header{
        .type = FrameType::stream_open, .qos = qos_byte, .stream = stream, .body_bytes = 2};
    return queue.push(OutputQueue::kOpenLane, header, {}, body);
  }

  // Headers of the frames that leave, taking `step` bytes at a time, at most `limit` bytes.
  std::vector<FrameHeader> drain(std::size_t step = SIZE_MAX, std::size_t limit = SIZE_MAX,
                                 std::size_t budget = 1) {
    std::vector<std::byte> bytes;
    std::array<std::span<const std::byte>, 64> pieces;
    while (bytes.size() < limit) {
      const std::size_t count = queue.gather(pieces, budget);
      if (count == 0) break;
      std::size_t taken = 0;
      for (std::size_t i = 0; i < count && taken < step; ++i) {
        const auto piece = pieces[i].first(std::min(pieces[i].size(), step - taken));
        bytes.insert(bytes.end(), piece.begin(), piece.end());
        taken += piece.size();
      }
      queue.written(taken);
    }
    std::vector<FrameHeader> headers;
    for (std::size_t at = 0; at + kHeaderBytes <= bytes.size();) {
      headers.push_back(
          read_header(std::span<const std::byte, kHeaderBytes>(bytes.data() + at, kHeaderBytes)));
      at += kHeaderBytes + headers.back().body_bytes;
    }
    return headers;
  }

  BufferPool pool;
  OutputQueue queue{pool};
};

std::vector<std::uint32_t> streams_of(const std::vector<FrameHeader>& headers) {
  std::vector<std::uint32_t> streams;
  for (const FrameHeader& header : headers) streams.push_back(header.stream);
  return streams;
}

TEST(OutputQueue, control_leaves_first_then_opens_then_critical_then_the_rest) {
  Queue q;
  q.push(qos(QosClass::data), 1);
  q.push(qos(QosClass::critical, 20), 3);
  q.push_open(qos(QosClass::telemetry), 5);
  q.push_control(7);
  EXPECT_EQ(streams_of(q.drain()), (std::vector<std::uint32_t>{7, 5, 3, 1}));
}

TEST(OutputQueue, a_lane_keeps_its_order_and_bytes_whatever_the_channel_takes_at_once) {
  for (const std::size_t step : {1u, 7u, 20u, 1000u, 40'000u}) {
    SCOPED_TRACE(step);
    Queue q;
    std::vector<std::uint32_t> expected;
    for (std::uint32_t i = 1; i <= 60; ++i) {
      q.push(qos(QosClass::data), i, i * i * 20);
      expected.push_back(i);
    }
    EXPECT_EQ(streams_of(q.drain(step, SIZE_MAX, 100'000)), expected);
    EXPECT_EQ(q.queue.bytes(), 0u);
    EXPECT_EQ(q.pool.in_use(), 0u) << "what is written is given back";
  }
}

TEST(OutputQueue, shared_payloads_leave_between_copied_ones_and_are_let_go_when_written) {
  for (const std::size_t metadata_bytes : {0u, 44u, 45u, 16'384u}) {
    for (const std::size_t step : {7u, 20u, 30'000u}) {
      SCOPED_TRACE(metadata_bytes);
      BufferPool pool;
      OutputQueue queue(pool);
      queue.add_connection_credit(kMuch);
      const auto lane = queue.lane_for(qos(QosClass::data));
      const std::string metadata(metadata_bytes, 'm');
      std::string expected;
      std::vector<std::weak_ptr<const std::string>> shared;
      for (std::uint32_t i = 1; i <= 9; ++i) {
        const auto text = std::make_shared<const std::string>(20'000 + i, char('a' + i));
        const FrameHeader header{
            .type = FrameType::stream_data,
            .qos = qos(QosClass::data),
            .metadata_bytes = static_cast<std::uint16_t>(metadata.size()),
            .stream = i,
            .body_bytes = static_cast<std::uint32_t>(metadata.size() + text->size())};
        std::array<std::byte, kHeaderBytes> bytes;
        encode_header(header, bytes);
        expected.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        expected += metadata + *text;
        const auto meta = std::as_bytes(std::span(metadata));
        const auto payload = std::as_bytes(std::span(*text));
        if (i % 3 == 0) {
          queue.push(lane, header, meta, payload);
        } else {
          queue.push_shared(lane, header, meta, payload, text);
          shared.emplace_back(text);
        }
      }
      EXPECT_FALSE(shared.front().expired());
      EXPECT_EQ(queue.bytes(), expected.size());
      EXPECT_TRUE(all_bytes(queue, step) == expected) << step;
      for (const auto& each : shared) EXPECT_TRUE(each.expired());
      EXPECT_EQ(pool.in_use(), 0u);
    }
  }
}

TEST(OutputQueue, a_shared_payload_is_let_go_when_its_frame_is_taken_out) {
  Queue q;
  const auto lane = q.queue.lane_for(qos(QosClass::data));
  const auto text = std::make_shared<const std::string>(20'000, 'x');
  for (const std::uint32_t stream : {1u, 3u, 1u}) {
    const FrameHeader header{.type = FrameType::stream_data,
                             .qos = qos(QosClass::data),
                             .stream = stream,
                             .body_bytes = 20'000};
    q.queue.push_shared(lane, header, {}, std::as_bytes(std::span(*text)), text);
  }
  EXPECT_EQ(q.queue.drop(lane, 1), 2 * 20'020u);
  EXPECT_EQ(streams_of(q.drain()), std::vector<std::uint32_t>{3});
  q.queue.drop_all(/*control_too=*/true);
  EXPECT_EQ(text.use_count(), 1);
  EXPECT_EQ(q.pool.in_use(), 0u);
}

TEST(OutputQueue, lower_urgency_numbers_leave_first_but_each_eighth_frame_waited_longest) {
  Queue q;
  for (std::uint32_t i = 0; i < 32; ++i) {
    q.push(qos(QosClass::data, 0), 1);
    q.push(qos(QosClass::data, 31), 3);
  }
  const auto streams = streams_of(q.drain());
  ASSERT_EQ(streams.size(), 64u);
  EXPECT_EQ(std::count(streams.begin(), streams.begin() + 16, 3u), 2);
}

TEST(OutputQueue, classes_share_by_weight_when_all_of_them_wait) {
  Queue q;
  for (int i = 0; i < 4000; ++i) {
    for (unsigned c = 1; c < 5; ++c) q.push(qos(static_cast<QosClass>(c)), c * 2 + 1, 1000);
  }
  std::map<std::uint32_t, double> bytes;
  double total = 0;
  for (const FrameHeader& header : q.drain(SIZE_MAX, 4'000'000)) {
    bytes[header.stream] += header.body_bytes;
    total += header.body_bytes;
  }
  EXPECT_NEAR(bytes[3] / total, 0.40, 0.02);
  EXPECT_NEAR(bytes[5] / total, 0.30, 0.02);
  EXPECT_NEAR(bytes[7] / total, 0.20, 0.02);
  EXPECT_NEAR(bytes[9] / total, 0.10, 0.02);
}

TEST(OutputQueue, a_class_that_is_alone_gets_everything) {
  Queue q;
  for (int i = 0; i < 100; ++i) q.push(qos(QosClass::telemetry), 1, 60'000);
  EXPECT_EQ(q.drain().size(), 100u);
}

TEST(OutputQueue, critical_beyond_a_tenth_and_its_burst_competes_as_system) {
  Queue q;
  for (int i = 0; i < 2000; ++i) {
    q.push(qos(QosClass::critical), 1, 1000);
    q.push(qos(QosClass::data), 3, 1000);
  }
  double critical = 0;
  double total = 0;
  bool burst = true;
  for (const FrameHeader& header : q.drain(SIZE_MAX, 2'500'000)) {
    if (total < kCriticalBurstBytes - 2000) burst = burst && header.stream == 1;
    total += header.body_bytes;
    if (header.stream == 1) critical += header.body_bytes;
  }
  EXPECT_TRUE(burst) << "the burst goes first";
  // After the burst: a tenth by right and two thirds of the rest, as system (40) against data (20).
  EXPECT_LT(critical / total, 0.85);
  EXPECT_GT(total - critical, 500'000) << "others are not starved";
}

TEST(OutputQueue, a_frame_waits_for_connection_credit_and_critical_needs_none) {
  Queue q(120);
  q.push(qos(QosClass::data), 1, 100);
  q.push(qos(QosClass::data), 3, 100);
  q.push(qos(QosClass::critical), 5, 100);
  EXPECT_EQ(streams_of(q.drain()), (std::vector<std::uint32_t>{5, 1}));
  EXPECT_FALSE(q.queue.has_output());
  q.queue.add_connection_credit(119);
  EXPECT_FALSE(q.queue.has_output()) << "one byte short";
  q.queue.add_connection_credit(1);
  EXPECT_EQ(streams_of(q.drain()), (std::vector<std::uint32_t>{3}));
}

TEST(OutputQueue, nothing_passes_the_stream_open_of_its_stream) {
  Queue q(0);
  q.push_open(qos(QosClass::data), 5);
  q.push(qos(QosClass::critical), 5);
  q.push(qos(QosClass::critical, 20), 3);
  EXPECT_EQ(streams_of(q.drain()), (std::vector<std::uint32_t>{3})) << "3 was opened earlier";
  q.queue.add_connection_credit(22);
  EXPECT_EQ(streams_of(q.drain()), (std::vector<std::uint32_t>{5, 5}));
}

TEST(OutputQueue, dropped_frames_never_leave_and_their_memory_comes_back) {
  Queue q;
  for (std::uint32_t i = 0; i < 100; ++i) q.push(qos(QosClass::data), i % 2 == 0 ? 1 : 3, 5000);
  EXPECT_EQ(q.queue.drop(q.queue.lane_for(qos(QosClass::data)), 1), 50u * 5020);
  const auto streams = streams_of(q.drain());
  EXPECT_EQ(streams.size(), 50u);
  EXPECT_EQ(std::count(streams.begin(), streams.end(), 1u), 0);
  EXPECT_EQ(q.pool.in_use(), 0u);
}

TEST(OutputQueue, a_ticket_says_whether_its_frame_has_been_chosen) {
  Queue q;
  const Ticket first = q.push(qos(QosClass::data), 1);
  const Ticket second = q.push(qos(QosClass::data), 1);
  EXPECT_FALSE(q.queue.departed(first));
  std::array<std::span<const std::byte>, 4> pieces;
  ASSERT_GT(q.queue.gather(pieces, 1), 0u);
  EXPECT_TRUE(q.queue.departed(first)) << "chosen: from here on the peer may see it";
  EXPECT_FALSE(q.queue.departed(second));
}

TEST(OutputQueue, random_pushes_drops_and_writes_lose_nothing_and_leak_nothing) {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 engine(seed);
    const auto random = [&engine] { return static_cast<std::uint32_t>(engine()); };
    Queue q(random() % 2 == 0 ? kMuch : 1'000'000);
    std::uint64_t pushed = 0;
    std::uint64_t left = 0;
    std::uint64_t dropped = 0;
    for (int i = 0; i < 400; ++i) {
      const std::uint8_t byte = qos(static_cast<QosClass>(random() % 5), random() % 3);
      const std::uint32_t stream = 1 + 2 * (random() % 8);
      const std::size_t body = random() % (random() % 8 == 0 ? 70'000 : 500);
      q.push(byte, stream, body);
      pushed += kHeaderBytes + body;
      if (random() % 10 == 0) dropped += q.queue.drop(q.queue.lane_for(byte), stream);
      if (random() % 4 != 0) continue;
      std::array<std::span<const std::byte>, 8> pieces;
      const std::size_t count = q.queue.gather(pieces, 1 + random() % 200'000);
      std::size_t offered = 0;
      for (std::size_t p = 0; p < count; ++p) offered += pieces[p].size();
      const std::size_t taken = offered == 0 ? 0 : random() % (offered + 1);
      q.queue.written(taken);
      left += taken;
    }
    q.queue.add_connection_credit(kMuch);
    std::array<std::span<const std::byte>, 8> pieces;
    while (const std::size_t count = q.queue.gather(pieces, 50'000)) {
      std::size_t offered = 0;
      for (std::size_t p = 0; p < count; ++p) offered += pieces[p].size();
      q.queue.written(offered);
      left += offered;
    }
    EXPECT_EQ(left + dropped, pushed);
    EXPECT_EQ(q.queue.bytes(), 0u);
    EXPECT_EQ(q.pool.in_use(), 0u);
  }
}

}  // namespace
}  // namespace valkyrie::protocol
