// A client and service of streams on the virtual network, as small as tests need them: it opens
// streams, registers an instance, and keeps what comes on each stream.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/messages/registry.h"
#include "protocol/metadata.h"
#include "tests/simulation/virtual_network.h"

namespace valkyrie::simulation {

// What came on a stream.
struct StreamLog {
  std::string method;
  std::string service;
  std::string pair;  // Named x-test, of the STREAM_OPEN.
  std::optional<Duration> deadline;
  std::vector<std::string> messages;
  std::string partial;           // Of a message that is not whole.
  std::uint64_t bytes = 0;       // Payload that came.
  std::uint64_t unconsumed = 0;  // Cost of what was kept.
  int ends = 0;
  protocol::StatusCode status = protocol::StatusCode::ok;
  protocol::Outcome outcome = protocol::Outcome::executed;
  std::string text;  // Of the status, or of the RESET.
  int resets = 0;
  protocol::CloseCode code = protocol::CloseCode::none;
  bool closed = false;
};

// What to say with a STREAM_OPEN.
struct OpenWith {
  std::optional<Duration> deadline{};
  std::uint8_t options = 0;
  std::string_view pair{};
};

// One program with one connection; the hello is done when the constructor returns.
class StreamPeer final : public Program {
 public:
  explicit StreamPeer(VirtualNetwork& network, std::uint32_t shard = 0,
                      const protocol::SessionConfig& config = {})
      : wire(network.dial(*this, shard, config)) {
    network.run();
  }
  StreamPeer(const StreamPeer&) = delete;
  StreamPeer& operator=(const StreamPeer&) = delete;

  static std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
  }

  // Registers an instance.
  void serve(std::string service, std::string instance, std::uint32_t concurrency = 0) {
    messages::RegisterRequest request;
    request.service = std::move(service);
    request.instance = std::move(instance);
    request.concurrency = concurrency;
    registration = open("valkyrie.Registry", "Register");
    const std::string body = messages::encode(messages::RegisterMessage(request));
    static_cast<void>(wire.near.send_data(registration, {.payload = bytes_of(body)}));
  }
  // Opens a stream.
  std::uint32_t open(std::string_view service, std::string_view method, OpenWith with = {}) {
    std::array<std::byte, 1024> buffer;
    protocol::MetadataWriter writer(buffer);
    if (with.deadline) writer.deadline(*with.deadline);
    writer.service(service);
    writer.method(method);
    if (!with.pair.empty()) writer.pair("x-test", with.pair);
    return *wire.near.open_stream(protocol::StreamKind::stream, with.options,
                                  {.metadata = *writer.finish()}, 0);
  }
  // Sends a message, or a part of one; false if the session does not take it.
  bool send(std::uint32_t stream, std::string_view text, bool more = false) {
    return wire.near.send_data(stream, {.payload = bytes_of(text)}, more).has_value();
  }
  // Ends its direction.
  void end(std::uint32_t stream, const protocol::Status& status = {}) {
    std::array<std::byte, 256> buffer;
    protocol::MetadataWriter writer(buffer);
    if (status.code != protocol::StatusCode::ok) writer.status(status);
    static_cast<void>(wire.near.send_end(stream, *writer.finish()));
  }
  // Returns the credit of all that it kept on a stream.
  void consume_kept(std::uint32_t stream) {
    const auto cost = static_cast<std::uint32_t>(std::exchange(streams[stream].unconsumed, 0));
    wire.near.consume(stream, cost);
  }
  // The stream that the node opened last.
  [[nodiscard]] StreamLog& last() { return streams[last_opened]; }

  void on_event(const protocol::Event& event) override;

  Wire& wire;
  std::map<std::uint32_t, StreamLog> streams;  // By id; those of both sides.
  std::uint32_t registration = 0;
  std::uint32_t last_opened = 0;
  std::size_t opened = 0;  // By the node.
  bool consume = true;     // Return credit for what comes.
  bool keep = true;        // Keep the messages and not only their number of bytes.
};

inline void StreamPeer::on_event(const protocol::Event& event) {
  using protocol::EventType;
  StreamLog& log = streams[event.stream];
  switch (event.type) {
    case EventType::stream_opened:
      ++opened;
      last_opened = event.stream;
      log.method = event.metadata.method().value_or(std::string_view());
      log.service = event.metadata.service().value_or(std::string_view());
      log.deadline = event.metadata.deadline();
      log.pair = event.metadata.pair("x-test").value_or(std::string_view());
      return;
    case EventType::data:
      log.bytes += event.payload.size();
      if (keep) {
        log.partial.append(reinterpret_cast<const char*>(event.payload.data()),
                           event.payload.size());
        if (!event.more) log.messages.push_back(std::exchange(log.partial, {}));
      }
      if (consume) {
        wire.near.consume(event.stream, event.cost);
      } else {
        log.unconsumed += event.cost;
      }
      return;
    case EventType::end:
      ++log.ends;
      if (const auto status = event.metadata.status()) {
        log.status = status->code;
        log.outcome = status->outcome;
        log.text = status->text;
      }
      return;
    case EventType::reset:
      ++log.resets;
      log.code = event.code;
      if (const auto status = event.metadata.status()) log.text = status->text;
      return;
    case EventType::stream_closed:
      log.closed = true;
      return;
    default:
      return;
  }
}

}  // namespace valkyrie::simulation
