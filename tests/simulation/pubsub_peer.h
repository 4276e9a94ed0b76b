// A publisher and subscriber on the virtual network: it keeps what came, by stream.
#pragma once

#include <array>
#include <cstdint>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/metadata.h"
#include "tests/simulation/virtual_network.h"

namespace valkyrie::simulation {

// An event that came.
struct Received {
  std::uint32_t sequence = 0;
  std::string subject;
  std::string payload;
  std::uint8_t qos = 0;
};

// How an acknowledged message ended.
struct Ack {
  int count = 0;  // Answers: one, when all is right.
  std::uint8_t level = 0;
  protocol::StatusCode code = protocol::StatusCode::ok;
  protocol::Outcome outcome = protocol::Outcome::executed;
  std::string text;
};

// A subscription, and what came of it.
struct Subscribed {
  std::vector<Received> events;
  bool closed = false;  // In order,
  bool reset = false;   // or not.
  protocol::CloseCode code = protocol::CloseCode::none;
};

// One program with one connection; the hello is done when the constructor returns.
class PubSubPeer final : public Program {
 public:
  explicit PubSubPeer(VirtualNetwork& network, std::uint32_t shard = 0,
                      const protocol::SessionConfig& config = {})
      : wire(network.dial(*this, shard, config)) {
    network.run();
  }
  PubSubPeer(const PubSubPeer&) = delete;
  PubSubPeer& operator=(const PubSubPeer&) = delete;

  // Opens a `publish` stream.
  std::uint32_t publisher(std::string_view subject = {}, std::uint8_t level = 0) {
    return open(protocol::StreamKind::publish, 0, subject, {}, level);
  }
  // Opens a subscription.
  std::uint32_t subscribe(std::string_view filter, std::string_view group = {},
                          std::uint8_t options = 0) {
    return open(protocol::StreamKind::subscribe, options, filter, group, 0);
  }
  // Publishes; false if the session did not take it.
  bool publish(std::uint32_t stream, std::string_view subject, std::string_view payload) {
    return send(stream, subject, payload, /*ack=*/false, 0, 0);
  }
  // The same with an answer: acks[the index returned].
  std::size_t publish_acked(std::uint32_t stream, std::string_view subject,
                            std::string_view payload, std::uint8_t level = 0) {
    acks.emplace_back();
    EXPECT_TRUE(send(stream, subject, payload, /*ack=*/true, level, acks.size() - 1));
    return acks.size() - 1;
  }
  // Payloads of a subscription, joined by blanks.
  [[nodiscard]] std::string payloads(std::uint32_t stream) {
    std::string all;
    for (const Received& event : subscriptions[stream].events) {
      all += (all.empty() ? "" : " ") + event.payload;
    }
    return all;
  }
  // Returns the credit of all that came and was not consumed.
  void catch_up() {
    consume = true;
    for (const auto& [stream, cost] : std::exchange(owed_, {})) wire.near.consume(stream, cost);
  }

  void on_event(const protocol::Event& event) override;

  Wire& wire;
  std::map<std::uint32_t, Subscribed> subscriptions;
  std::map<std::uint32_t, protocol::CloseCode> publishers_reset;
  std::vector<Ack> acks;
  bool consume = true;  // Return credit for what came.
  bool closed = false;

 private:
  // Appends an entry as it stands, legal or not: a MetadataWriter would refuse what tests must
  // send.
  static void put(std::vector<std::byte>& metadata, protocol::MetadataKey key,
                  std::string_view value) {
    metadata.push_back(static_cast<std::byte>(key));
    metadata.push_back(static_cast<std::byte>(value.size() >> 8));
    metadata.push_back(static_cast<std::byte>(value.size() & 0xFF));
    const auto bytes = std::as_bytes(std::span(value));
    metadata.insert(metadata.end(), bytes.begin(), bytes.end());
  }
  static std::vector<std::byte> entries(std::string_view subject, std::uint8_t level) {
    std::vector<std::byte> metadata;
    if (!subject.empty()) put(metadata, protocol::MetadataKey::subject, subject);
    const char octet = static_cast<char>(level);
    if (level != 0) put(metadata, protocol::MetadataKey::ack_level, {&octet, 1});
    return metadata;
  }
  std::uint32_t open(protocol::StreamKind kind, std::uint8_t options, std::string_view subject,
                     std::string_view group, std::uint8_t level) {
    std::vector<std::byte> metadata = entries(subject, level);
    if (!group.empty()) put(metadata, protocol::MetadataKey::group, group);
    return wire.near.open_stream(kind, options, {.metadata = metadata}, 1).value_or(0);
  }
  bool send(std::uint32_t stream, std::string_view subject, std::string_view payload, bool ack,
            std::uint8_t level, std::uint64_t cookie) {
    const std::vector<std::byte> metadata = entries(subject, level);
    return wire.near
        .send_publish(
            stream,
            {.metadata = metadata, .payload = std::as_bytes(std::span(payload)), .cookie = cookie},
            ack)
        .has_value();
  }

  std::vector<std::pair<std::uint32_t, std::uint32_t>> owed_;
};

inline void PubSubPeer::on_event(const protocol::Event& event) {
  using protocol::EventType;
  switch (event.type) {
    case EventType::event: {
      const auto payload = event.payload;
      subscriptions[event.stream].events.push_back(
          {.sequence = event.correlation,
           .subject = std::string(event.metadata.subject().value_or("")),
           .payload = {reinterpret_cast<const char*>(payload.data()), payload.size()},
           .qos = event.qos});
      if (consume) {
        wire.near.consume(event.stream, event.cost);
      } else {
        owed_.emplace_back(event.stream, event.cost);
      }
      return;
    }
    case EventType::published: {
      Ack& ack = acks.at(event.cookie);
      const auto status = event.metadata.status().value_or(protocol::Status{});
      ++ack.count;
      ack.level = event.level;
      ack.code = status.code;
      ack.outcome = status.outcome;
      ack.text = status.text;
      return;
    }
    case EventType::request_failed: {
      Ack& ack = acks.at(event.cookie);
      ++ack.count;
      ack.code = event.status;
      ack.outcome = event.outcome;
      return;
    }
    case EventType::stream_closed:
      if (event.kind == protocol::StreamKind::subscribe) subscriptions[event.stream].closed = true;
      return;
    case EventType::reset:
      if (event.kind == protocol::StreamKind::publish) {
        publishers_reset[event.stream] = event.code;
      } else {
        subscriptions[event.stream].reset = true;
        subscriptions[event.stream].code = event.code;
      }
      return;
    case EventType::closed:
      closed = true;
      return;
    default:
      return;
  }
}

}  // namespace valkyrie::simulation
