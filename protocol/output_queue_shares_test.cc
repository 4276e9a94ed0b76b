// Who gets how much of a saturated connection: docs/spec/scheduling.md.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <vector>

#include "protocol/output_queue.h"

namespace valkyrie::protocol {
namespace {

constexpr std::size_t kKiB = 1024;

// A connection whose classes always have something to send, and which takes what it is told to.
class Saturated {
 public:
  // Lengths of the bodies that a lane sends, in turn drawn from these.
  struct Source {
    QosClass qos_class = QosClass::data;
    std::vector<std::size_t> bodies;
    std::uint8_t urgency = kUrgencyDefault;
  };

  explicit Saturated(std::vector<Source> sources, const ClassWeights& weights = kClassWeights)
      : queue_(pool_, weights), sources_(std::move(sources)) {
    queue_.add_connection_credit(std::uint64_t{1} << 40U);
    for (std::uint32_t i = 0; i < sources_.size(); ++i) {
      for (int n = 0; n < 3; ++n) push(i);
    }
  }

  // Sends about so many bytes, and counts them by source.
  std::vector<std::uint64_t> send(std::size_t bytes) {
    std::vector<std::uint64_t> sent(sources_.size());
    for (std::size_t total = 0; total < bytes;) {
      const FrameHeader header = next();
      const std::uint32_t source = header.stream / 2;
      sent[source] += kHeaderBytes + header.body_bytes;
      total += kHeaderBytes + header.body_bytes;
      push(source);
    }
    return sent;
  }
  // The source of the frame that goes next.
  std::uint32_t next_source() {
    const std::uint32_t source = next().stream / 2;
    push(source);
    return source;
  }
  void add(const Source& source) {
    sources_.push_back(source);
    push(static_cast<std::uint32_t>(sources_.size() - 1));
  }

 private:
  void push(std::uint32_t source) {
    const Source& from = sources_[source];
    const std::size_t body = from.bodies[random_() % from.bodies.size()];
    const std::vector<std::byte> payload(body);
    const std::uint8_t qos = qos_byte(from.qos_class, from.urgency);
    queue_.push(queue_.lane_for(qos),
                {.type = FrameType::stream_data,
                 .qos = qos,
                 .stream = source * 2 + 1,
                 .body_bytes = static_cast<std::uint32_t>(body)},
                {}, payload);
  }
  FrameHeader next() {
    std::array<std::span<const std::byte>, 64> pieces;
    const std::size_t count = queue_.gather(pieces, 1);
    std::size_t size = 0;
    for (std::size_t i = 0; i < count; ++i) size += pieces[i].size();
    // A header may be cut by the end of a chunk.
    std::array<std::byte, kHeaderBytes> header;
    std::size_t at = 0;
    for (std::size_t i = 0; i < count && at < kHeaderBytes; ++i) {
      for (const std::byte byte : pieces[i]) {
        if (at < kHeaderBytes) header[at++] = byte;
      }
    }
    EXPECT_EQ(at, kHeaderBytes) << "somebody always has a frame";
    queue_.written(size);
    return read_header(header);
  }

  BufferPool pool_;
  OutputQueue queue_;
  std::vector<Source> sources_;
  std::mt19937 random_{7};
};

// Bodies of 64 bytes, of 64 KiB and all between, which differ from class to class.
std::vector<std::vector<std::size_t>> mixes() {
  return {{64},
          {64 * kKiB},
          {64, 64 * kKiB},
          {64, 200, 1 * kKiB, 5 * kKiB, 17 * kKiB, 33 * kKiB, 64 * kKiB},
          {1500, 9000}};
}

void expect_shares(const std::vector<std::uint64_t>& sent, const std::vector<double>& weights) {
  double bytes = 0;
  double weight = 0;
  for (const std::uint64_t each : sent) bytes += static_cast<double>(each);
  for (const double each : weights) weight += each;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    const double expected = bytes * weights[i] / weight;
    EXPECT_NEAR(static_cast<double>(sent[i]), expected, expected * 0.05) << "source " << i;
  }
}

TEST(OutputQueueShares, hold_within_five_percent_for_any_busy_classes_and_any_frame_lengths) {
  constexpr std::size_t kWindow = 16 * kKiB * kKiB;
  const auto all = mixes();
  for (unsigned busy = 1; busy < 16; ++busy) {
    for (std::size_t shift = 0; shift < all.size(); ++shift) {
      SCOPED_TRACE(::testing::Message() << "classes " << busy << ", mix " << shift);
      std::vector<Saturated::Source> sources;
      std::vector<double> weights;
      for (unsigned c = 1; c <= 4; ++c) {
        if ((busy >> (c - 1) & 1) == 0) continue;
        // Each class has another mix, so that one of short frames meets one of long ones.
        sources.push_back({static_cast<QosClass>(c), all[(shift + c) % all.size()]});
        weights.push_back(kClassWeights[c]);
      }
      Saturated link(std::move(sources));
      link.send(kKiB * kKiB);
      expect_shares(link.send(kWindow), weights);
    }
  }
}

TEST(OutputQueueShares, are_those_that_the_owner_has_set) {
  const ClassWeights weights{0, 10, 10, 70, 10};
  Saturated link({{QosClass::system, {1000}},
                  {QosClass::job, {64 * kKiB}},
                  {QosClass::data, {64, 9000}},
                  {QosClass::telemetry, {64 * kKiB}}},
                 weights);
  expect_shares(link.send(16 * kKiB * kKiB), {10, 10, 70, 10});
}

TEST(OutputQueueShares, of_a_class_do_not_grow_with_the_urgencies_it_uses) {
  Saturated link({{QosClass::data, {1000}, 0},
                  {QosClass::data, {1000}, 16},
                  {QosClass::data, {1000}, 31},
                  {QosClass::telemetry, {1000}}});
  const auto sent = link.send(8 * kKiB * kKiB);
  expect_shares({sent[0] + sent[1] + sent[2], sent[3]}, {20, 10});
}

TEST(OutputQueueShares, critical_gets_a_tenth_and_then_divides_what_system_gets) {
  for (const std::size_t body : {64 * kKiB, std::size_t{500}}) {
    SCOPED_TRACE(body);
    Saturated link({{QosClass::critical, {body}},
                    {QosClass::system, {1000}},
                    {QosClass::data, {64 * kKiB}},
                    {QosClass::telemetry, {64}}});
    link.send(4 * kKiB * kKiB);  // The burst.
    // Of the nine tenths system has 40 of 70, and half of that is for critical.
    expect_shares(link.send(32 * kKiB * kKiB),
                  {0.1 + 0.9 * 20 / 70, 0.9 * 20 / 70, 0.9 * 20 / 70, 0.9 * 10 / 70});
  }
}

TEST(OutputQueueShares, critical_below_a_tenth_waits_for_one_frame_and_no_more) {
  Saturated link({{QosClass::system, {64 * kKiB}},
                  {QosClass::job, {64 * kKiB}},
                  {QosClass::data, {64 * kKiB}},
                  {QosClass::telemetry, {64 * kKiB}}});
  link.send(4 * kKiB * kKiB);
  link.add({QosClass::critical, {1000}});
  for (int i = 0; i < 50; ++i) EXPECT_EQ(link.next_source(), 4U) << "it is within its burst";
}

TEST(OutputQueueShares, each_eighth_frame_of_a_class_goes_to_whoever_waited_longest) {
  std::vector<Saturated::Source> sources;
  for (std::uint8_t urgency = 0; urgency < 32; ++urgency) {
    sources.push_back({QosClass::data, {64}, urgency});
  }
  Saturated link(std::move(sources));
  std::map<std::uint32_t, int> frames;
  constexpr int kRounds = 8 * 31 * 10;
  for (int i = 0; i < kRounds; ++i) ++frames[link.next_source()];
  EXPECT_NEAR(frames[0], kRounds * 7 / 8, kRounds / 100);
  for (std::uint32_t urgency = 1; urgency < 32; ++urgency) {
    EXPECT_NEAR(frames[urgency], 10, 1) << "urgency " << urgency << " is not starved";
  }
}

TEST(OutputQueueShares, a_lane_that_has_just_become_busy_has_not_waited_long) {
  Saturated link({{QosClass::data, {64}, 0}, {QosClass::data, {64}, 20}});
  for (int i = 0; i < 100; ++i) link.next_source();
  int seen = 0;
  link.add({QosClass::data, {64}, 31});
  int until_newcomer = 0;
  for (int i = 1; until_newcomer == 0 && i < 100; ++i) {
    const std::uint32_t source = link.next_source();
    if (source == 1) ++seen;
    if (source == 2) until_newcomer = i;
  }
  EXPECT_GE(seen, 1) << "who waits since before goes first";
  EXPECT_LE(until_newcomer, 16);
}

TEST(OutputQueueShares, nothing_of_any_class_or_urgency_starves) {
  std::vector<Saturated::Source> sources;
  for (unsigned c = 0; c < 5; ++c) {
    for (const std::uint8_t urgency : std::array<std::uint8_t, 3>{0, 16, 31}) {
      sources.push_back({static_cast<QosClass>(c), {64, 64 * kKiB}, urgency});
    }
  }
  const std::size_t count = sources.size();
  Saturated link(std::move(sources));
  link.send(4 * kKiB * kKiB);
  const auto sent = link.send(32 * kKiB * kKiB);
  for (std::size_t i = 0; i < count; ++i) EXPECT_GT(sent[i], 0U) << "source " << i;
}

}  // namespace
}  // namespace valkyrie::protocol
