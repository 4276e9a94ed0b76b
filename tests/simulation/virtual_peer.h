// A client and service on the virtual network, as small as tests need them: it calls, counts how
// each call ends, registers instances and answers.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "protocol/messages/registry.h"
#include "protocol/metadata.h"
#include "tests/simulation/virtual_network.h"

namespace valkyrie::simulation {

// How a call ended.
struct Answer {
  int count = 0;  // Outcomes it was given: one, when all is right.
  protocol::StatusCode code = protocol::StatusCode::ok;
  protocol::Outcome outcome = protocol::Outcome::executed;
  std::string text;
  std::string payload;
  std::string sent;  // For the test's own use.
};

// A request that came to a service.
struct Incoming {
  std::uint32_t stream = 0;
  std::uint32_t correlation = 0;
  std::string method;
  std::string payload;
  std::optional<Duration> deadline;
};

// What to say with a call.
struct CallWith {
  std::optional<Duration> deadline{};
  std::uint8_t options = 0;
  std::string_view affinity{};
  std::uint8_t qos = protocol::kQosDefault;
};

// One program with one connection; the hello is done when the constructor returns.
class Peer final : public Program {
 public:
  explicit Peer(VirtualNetwork& network, std::uint32_t shard = 0,
                const protocol::SessionConfig& config = {})
      : wire(network.dial(*this, shard, config)) {
    network.run();
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // Calls; the result is answers[the index returned].
  std::size_t call(std::string_view service, std::string_view method, std::string_view payload,
                   CallWith with = {}) {
    const std::size_t index = answers.size();
    answers.emplace_back();
    const std::uint32_t stream = stream_to(service, method, with.options);
    std::array<std::byte, 128> buffer;
    protocol::MetadataWriter writer(buffer);
    if (with.deadline) writer.deadline(*with.deadline);
    if (!with.affinity.empty()) {
      writer.put(protocol::MetadataKey::affinity, bytes_of(with.affinity));
    }
    const auto sent = wire.near.send_request(stream, {.metadata = *writer.finish(),
                                                      .payload = bytes_of(payload),
                                                      .qos = with.qos,
                                                      .cookie = index});
    if (!sent) {
      end(index, protocol::StatusCode::unavailable, protocol::Outcome::not_executed,
          to_string(sent.error()));
    } else {
      last_call = {stream, sent->correlation};
    }
    return index;
  }
  // Sends a message that nobody answers.
  void notify(std::string_view service, std::string_view method, std::string_view payload) {
    static_cast<void>(
        wire.near.send_notify(stream_to(service, method, 0), {.payload = bytes_of(payload)}));
  }
  // Asks to give up the latest call.
  void cancel_last() { wire.near.cancel(last_call.first, last_call.second); }

  // Registers an instance; its stream.
  std::uint32_t serve(const messages::RegisterRequest& request) {
    const std::uint32_t stream =
        open("valkyrie.Registry", "Register", protocol::StreamKind::stream, 0, kRegister);
    tell_registry(stream, request);
    return stream;
  }
  // The same with a name only.
  std::uint32_t serve(std::string service, std::string instance, std::uint32_t concurrency = 0) {
    messages::RegisterRequest request;
    request.service = std::move(service);
    request.instance = std::move(instance);
    request.concurrency = concurrency;
    return serve(request);
  }
  // Sends a further message on a registration.
  void tell_registry(std::uint32_t stream, const messages::RegisterMessage& message) {
    const std::string body = messages::encode(message);
    static_cast<void>(wire.near.send_data(stream, {.payload = bytes_of(body)}));
  }
  // Answers a request.
  void reply(const Incoming& request, std::string_view payload) {
    std::array<std::byte, 64> buffer;
    protocol::MetadataWriter writer(buffer);
    protocol::StatusCode code = answer_code;
    if (fails_each != 0 && ++replied % fails_each == 0) code = protocol::StatusCode::internal;
    if (code != protocol::StatusCode::ok) {
      writer.status({.code = code, .outcome = protocol::Outcome::executed, .text = {}});
    }
    static_cast<void>(
        wire.near.send_response(request.stream, request.correlation,
                                {.metadata = *writer.finish(), .payload = bytes_of(payload)}));
  }
  // Answers all that it holds.
  void reply_all() {
    for (const Incoming& request : std::exchange(held, {})) reply(request, request.payload);
  }

  void on_event(const protocol::Event& event) override;

  Wire& wire;
  std::vector<Answer> answers;
  std::vector<Incoming> held;          // With `hold`: requests not answered.
  std::vector<std::string> instances;  // Names the registry confirmed.
  std::vector<Answer> registrations_ended;
  std::vector<std::string> payloads;  // Of all requests that came.
  std::size_t served = 0;             // Requests that came,
  std::size_t replied = 0;            // answers that were given.
  std::size_t cancels = 0;            // And were given up,
  std::size_t abandoned = 0;
  protocol::StatusCode answer_code = protocol::StatusCode::ok;  // Of its answers.
  std::size_t fails_each = 0;  // With it, each so many-th answer is INTERNAL instead.
  // What it says to a request; else an echo.
  std::function<std::string(const Incoming&)> answer_with;
  bool hold = false;    // Keep requests instead of echoing them.
  bool consume = true;  // Return credit for what came.
  bool closed = false;  // The session is over.
  protocol::CloseCode close_code = protocol::CloseCode::none;

 private:
  // What its own streams are for.
  static constexpr std::uint64_t kCalls = 1;
  static constexpr std::uint64_t kRegister = 2;

  static std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
  }
  static std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  std::uint32_t open(std::string_view service, std::string_view method, protocol::StreamKind kind,
                     std::uint8_t options, std::uint64_t user) {
    std::array<std::byte, 1024> buffer;
    protocol::MetadataWriter writer(buffer);
    writer.service(service);
    writer.method(method);
    return wire.near.open_stream(kind, options, {.metadata = *writer.finish()}, user).value_or(0);
  }
  std::uint32_t stream_to(std::string_view service, std::string_view method, std::uint8_t options) {
    const auto [at, is_new] =
        streams_.try_emplace({std::string(service), std::string(method), options}, 0);
    if (at->second == 0) {
      at->second = open(service, method, protocol::StreamKind::call, options, kCalls);
    }
    return at->second;
  }
  void end(std::size_t index, protocol::StatusCode code, protocol::Outcome outcome,
           std::string_view text) {
    Answer& answer = answers.at(index);
    ++answer.count;
    answer.code = code;
    answer.outcome = outcome;
    answer.text = text;
  }
  void on_request(const protocol::Event& event);
  void on_register_event(const protocol::Event& event);
  void give_back(const protocol::Event& event) {
    if (consume) wire.near.consume(event.stream, event.cost);
  }

  std::map<std::tuple<std::string, std::string, std::uint8_t>, std::uint32_t> streams_;
  std::map<std::uint32_t, std::string> methods_;  // Of the node's streams.
  std::pair<std::uint32_t, std::uint32_t> last_call{};
};

inline void Peer::on_event(const protocol::Event& event) {
  using protocol::EventType;
  switch (event.type) {
    case EventType::response: {
      const auto status = event.metadata.status().value_or(protocol::Status{});
      end(event.cookie, status.code, status.outcome, status.text);
      answers.at(event.cookie).payload = text_of(event.payload);
      return give_back(event);
    }
    case EventType::request_failed:
      return end(event.cookie, event.status, event.outcome, to_string(event.code));
    case EventType::request:
      return on_request(event);
    case EventType::notify:
      ++served;
      return give_back(event);
    case EventType::cancel:
      ++cancels;
      return;
    case EventType::abandoned:
      ++abandoned;
      return;
    case EventType::stream_opened:
      methods_[event.stream] = event.metadata.method().value_or(std::string_view());
      return;
    case EventType::data:
    case EventType::end:
      if (event.user == kRegister) on_register_event(event);
      return;
    case EventType::reset:
    case EventType::stream_closed:
      if (event.user == kRegister && event.type == EventType::reset) on_register_event(event);
      std::erase_if(streams_, [&](const auto& entry) { return entry.second == event.stream; });
      return;
    case EventType::closed:
      closed = true;
      close_code = event.code;
      return;
    default:
      return;
  }
}

inline void Peer::on_request(const protocol::Event& event) {
  ++served;
  Incoming request{.stream = event.stream,
                   .correlation = event.correlation,
                   .method = methods_[event.stream],
                   .payload = text_of(event.payload),
                   .deadline = event.metadata.deadline()};
  if (const auto method = event.metadata.method()) request.method = *method;
  payloads.push_back(request.payload);
  give_back(event);
  if (hold) {
    held.push_back(std::move(request));
  } else {
    reply(request, answer_with ? answer_with(request) : request.payload);
  }
}

inline void Peer::on_register_event(const protocol::Event& event) {
  if (event.type == protocol::EventType::data) {
    const auto body = messages::decode<messages::RegisterEvent>(event.payload);
    if (body && std::holds_alternative<messages::RegisterReply>(*body)) {
      instances.push_back(std::get<messages::RegisterReply>(*body).instance);
    }
    wire.near.consume(event.stream, event.cost);
    return;
  }
  Answer ended;
  const auto status = event.metadata.status().value_or(protocol::Status{});
  ended.code = status.code;
  ended.outcome = status.outcome;
  ended.text = status.text;
  if (event.type == protocol::EventType::reset) ended.text = to_string(event.code);
  registrations_ended.push_back(std::move(ended));
  if (event.type == protocol::EventType::end) {
    static_cast<void>(wire.near.send_end(event.stream));
  }
}

}  // namespace valkyrie::simulation
