// Critical calls beside bulk, over links of a finite rate: docs/spec/scheduling.md. All times are
// virtual, so that the figures are the same in every run.
#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>

#include "protocol/frame.h"
#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::QosClass;

constexpr const char* kService = "test.Echo";
constexpr std::uint64_t kBytesPerSecond = 12'500'000;
constexpr Duration kLatency = 5ms;

std::uint8_t qos_of(QosClass qos_class) {
  return protocol::qos_byte(qos_class, protocol::kUrgencyDefault);
}

// A client that calls from time to time, and beside that keeps bulk calls under way.
class Driver final : public Program {
 public:
  // Bulk of a class, `depth` requests at a time.
  struct Bulk {
    QosClass qos_class = QosClass::data;
    std::size_t bytes = 0;
    int depth = 0;
  };

  explicit Driver(VirtualNetwork& network) : wire(network.dial(*this)), network_(network) {
    network.run();
  }

  // Calls with class critical each `every`, from now on.
  void call_each(Duration every) {
    every_ = every;
    next_ = network_.now;
  }
  void add_bulk(const Bulk& bulk) {
    const std::uint64_t number = bulks_.size() + 1;
    bulks_.push_back(bulk);
    for (int i = 0; i < bulk.depth; ++i) send(number);
  }

  void on_event(const protocol::Event& event) override {
    if (event.type != protocol::EventType::response) return;
    wire.near.consume(event.stream, event.cost);
    if (event.cookie >= kCritical) {
      latencies.push_back(network_.now - asked_.at(event.cookie));
    } else {
      bulk_bytes[event.cookie - 1] += event.cost;
      send(event.cookie);
    }
  }
  [[nodiscard]] std::optional<Instant> deadline() const override { return next_; }
  void on_deadline() override {
    asked_[calls_] = network_.now;
    send(calls_++);
    *next_ += every_;
  }

  [[nodiscard]] std::uint64_t bulk_received() const {
    std::uint64_t bytes = 0;
    for (const auto& [bulk, count] : bulk_bytes) bytes += count;
    return bytes;
  }
  [[nodiscard]] Duration worst() const { return *std::ranges::max_element(latencies); }

  Wire& wire;
  std::vector<Duration> latencies;
  std::map<std::uint64_t, std::uint64_t> bulk_bytes;  // Of answers, by bulk.

 private:
  static constexpr std::uint64_t kCritical = 1000;  // First cookie of a critical call.

  void send(std::uint64_t cookie) {
    const bool critical = cookie >= kCritical;
    const std::uint8_t qos = qos_of(critical ? QosClass::critical : bulks_[cookie - 1].qos_class);
    std::uint32_t& stream = streams_[critical ? 0 : cookie];
    if (stream == 0) {
      std::array<std::byte, 64> buffer;
      protocol::MetadataWriter writer(buffer);
      writer.service(kService);
      writer.method("Echo");
      stream = *wire.near.open_stream(protocol::StreamKind::call, 0,
                                      {.metadata = *writer.finish(), .qos = qos}, 0);
    }
    const std::vector<std::byte> payload(critical ? 64 : bulks_[cookie - 1].bytes);
    EXPECT_TRUE(wire.near.send_request(stream, {.payload = payload, .qos = qos, .cookie = cookie}));
  }

  VirtualNetwork& network_;
  Duration every_{};
  std::optional<Instant> next_;
  std::uint64_t calls_ = kCritical;
  std::vector<Bulk> bulks_;
  std::map<std::uint64_t, std::uint32_t> streams_;
  std::map<std::uint64_t, Instant> asked_;
};

// A node with a service, behind links of a finite rate, and clients of any class.
class PrioritySimulation : public ::testing::Test {
 protected:
  PrioritySimulation() {
    network.node_config.qos_ceiling = QosClass::critical;
    service.serve(kService, "one");
    network.run();
    shape(service.wire);
  }

  static void shape(Wire& wire) {
    for (Pipe* pipe : {&wire.to_node, &wire.to_program}) {
      pipe->bytes_per_second = kBytesPerSecond;
      pipe->latency = kLatency;
    }
  }

  VirtualNetwork network;
  Peer service{network};
};

TEST_F(PrioritySimulation, a_critical_call_beside_bulk_takes_at_most_twice_its_idle_time) {
  constexpr std::size_t kFrameBytes = 64 * 1024;
  for (const bool same_connection : {true, false}) {
    for (const std::size_t bytes : {std::size_t{1000}, kFrameBytes}) {
      for (const QosClass qos_class : {QosClass::data, QosClass::telemetry}) {
        Driver driver(network);
        shape(driver.wire);
        Driver other(network);
        shape(other.wire);
        driver.call_each(20ms);
        network.run_for(1s);
        const Duration idle = driver.worst();
        Driver& loaded = same_connection ? driver : other;
        for (int stream = 0; stream < 8; ++stream) {
          loaded.add_bulk({qos_class, bytes, static_cast<int>(4 * kFrameBytes / bytes)});
        }
        network.run_for(500ms);  // It grows to its full rate.
        driver.latencies.clear();
        const std::uint64_t before = loaded.bulk_received();
        network.run_for(1s);
        const Duration worst = driver.worst();
        const auto rate = static_cast<double>(loaded.bulk_received() - before) / kBytesPerSecond;
        fmt::print(
            "{} connection, bulk of {} bytes, {}: idle {} us, worst {} us, {:.0f} % of the "
            "link for bulk\n",
            same_connection ? "same" : "other", bytes, to_string(qos_class), idle / 1us,
            worst / 1us, rate * 100);
        constexpr Duration kFrameTime = kFrameBytes * 1s / kBytesPerSecond;
        EXPECT_LE(worst, 2 * idle + kFrameTime);
        EXPECT_GT(rate, 0.5) << "the link is busy";
        network.cut(driver.wire);
        network.cut(other.wire);
      }
    }
  }
}

TEST_F(PrioritySimulation, classes_share_a_saturated_link_by_their_weights) {
  Driver driver(network);
  shape(driver.wire);
  for (const auto qos_class :
       {QosClass::system, QosClass::job, QosClass::data, QosClass::telemetry}) {
    for (int i = 0; i < 4; ++i) driver.add_bulk({qos_class, 8'000, 16});
  }
  network.run_for(1s);
  driver.bulk_bytes.clear();
  network.run_for(4s);
  double total = 0;
  std::array<double, 4> bytes{};
  for (const auto& [bulk, count] : driver.bulk_bytes) {
    bytes[bulk / 4] += static_cast<double>(count);
    total += static_cast<double>(count);
  }
  const std::array<double, 4> shares{0.4, 0.3, 0.2, 0.1};
  for (std::size_t i = 0; i < 4; ++i) {
    fmt::print("{}: {:.1f} %\n", to_string(static_cast<QosClass>(i + 1)), bytes[i] / total * 100);
    EXPECT_NEAR(bytes[i] / total, shares[i], shares[i] * 0.05);
  }
}

}  // namespace
}  // namespace valkyrie::simulation
