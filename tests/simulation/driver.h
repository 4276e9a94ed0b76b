// A client in a closed loop, on the virtual network: it calls a service from time to time, and
// keeps bulk calls under way beside that.
#pragma once

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <vector>

#include "protocol/frame.h"
#include "protocol/metadata.h"
#include "tests/simulation/virtual_network.h"

namespace valkyrie::simulation {

// The service it calls, which is to answer with what it was sent.
inline constexpr const char* kDriven = "test.Echo";

// One program with one connection; the hello is done when the constructor returns.
class Driver final : public Program {
 public:
  // Bulk of a class, `depth` requests at a time.
  struct Bulk {
    protocol::QosClass qos_class = protocol::QosClass::data;
    std::size_t bytes = 0;
    int depth = 0;
  };

  explicit Driver(VirtualNetwork& network, std::uint32_t shard = 0)
      : wire(network.dial(*this, shard)), network_(network) {
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
    if (event.type == protocol::EventType::closed) close_code = event.code;
    if (event.type != protocol::EventType::response) return;
    wire.near.consume(event.stream, event.cost);
    const bool critical = event.cookie >= kCritical;
    if (event.metadata.status()) ++(critical ? critical_refused : bulk_refused);
    if (critical) {
      latencies.push_back(network_.now - asked_.at(event.cookie));
    } else {
      ++bulk_calls;
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
  std::uint64_t bulk_calls = 0;                       // Answered, refused ones too.
  std::uint64_t bulk_refused = 0;
  std::uint64_t critical_refused = 0;
  protocol::CloseCode close_code = protocol::CloseCode::none;

 private:
  static constexpr std::uint64_t kCritical = 1000;  // First cookie of a critical call.

  void send(std::uint64_t cookie) {
    const bool critical = cookie >= kCritical;
    const std::uint8_t qos =
        protocol::qos_byte(critical ? protocol::QosClass::critical : bulks_[cookie - 1].qos_class,
                           protocol::kUrgencyDefault);
    std::uint32_t& stream = streams_[critical ? 0 : cookie];
    if (stream == 0) {
      std::array<std::byte, 64> buffer;
      protocol::MetadataWriter writer(buffer);
      writer.service(kDriven);
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

}  // namespace valkyrie::simulation
