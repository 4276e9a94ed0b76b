#include "tests/conformance/transcript.h"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <set>
#include <stdexcept>
#include <string_view>

#include "protocol/metadata.h"
#include "tests/conformance/described_frame.h"
#include "tests/conformance/vector_file.h"

namespace valkyrie::conformance {

using namespace valkyrie::protocol;

namespace {

constexpr std::size_t kGatherBytes = 128 * 1024;

// Frames a session may send at any time; a transcript names them only where they matter.
const std::set<std::string_view> kUnprompted = {"credit", "stream_limit", "ping", "ignorable"};
// Events that bring a message: one that no step expects is a failure.
const std::set<std::string_view> kMessages = {"request", "notify",    "data", "response",
                                              "publish", "published", "event"};

SessionConfig config_of(const boost::json::object& file) {
  SessionConfig config;
  const auto* deviations = file.if_contains("config");
  if (deviations == nullptr) return config;
  for (const auto& [key, value] : deviations->as_object()) {
    const auto number = value.to_number<std::uint32_t>();
    if (key == "stream_credit_bytes") config.limits.stream_credit_bytes = number;
    if (key == "connection_credit_bytes") config.limits.connection_credit_bytes = number;
    if (key == "call_message_bytes") config.limits.call_message_bytes_max = number;
    if (key == "requests_in_flight") config.limits.requests_in_flight_max = number;
    if (key == "streams") config.limits.peer_streams_max = number;
  }
  return config;
}

std::string_view name_of(EventType type) {
  switch (type) {
    case EventType::ready:
      return "ready";
    case EventType::stream_opened:
      return "stream_opened";
    case EventType::request:
      return "request";
    case EventType::cancel:
      return "cancel";
    case EventType::abandoned:
      return "abandoned";
    case EventType::response:
      return "response";
    case EventType::request_failed:
      return "request_failed";
    case EventType::notify:
      return "notify";
    case EventType::publish:
      return "publish";
    case EventType::published:
      return "published";
    case EventType::event:
      return "event";
    case EventType::data:
      return "data";
    case EventType::end:
      return "end";
    case EventType::reset:
      return "reset";
    case EventType::stream_closed:
      return "stream_closed";
    case EventType::flushed:
      return "flushed";
    case EventType::room:
      return "room";
    case EventType::goaway:
      return "goaway";
    case EventType::pong:
      return "pong";
    case EventType::auth:
      return "auth";
    case EventType::auth_ok:
      return "auth_ok";
    case EventType::closed:
      return "closed";
  }
  return "unknown";
}

boost::json::object describe(const Event& event) {
  boost::json::object fields{
      {"event", name_of(event.type)},     {"stream", event.stream},
      {"correlation", event.correlation}, {"kind", to_string(event.kind)},
      {"code", to_string(event.code)},    {"drain_ms", event.drain_ms},
      {"payload", hex_of(event.payload)}, {"payload_bytes", event.payload.size()}};
  if (const auto service = event.metadata.service()) fields["service"] = *service;
  if (const auto method = event.metadata.method()) fields["method"] = *method;
  if (const auto subject = event.metadata.subject()) fields["subject"] = *subject;
  if (event.type == EventType::published) fields["level"] = event.level;
  if (event.type == EventType::auth_ok) fields["seconds_left"] = event.seconds_left;
  const Status status = event.metadata.status().value_or(Status{});
  const bool failed = event.type == EventType::request_failed;
  fields["status"] = to_string(failed ? event.status : status.code);
  fields["outcome"] = to_string(failed ? event.outcome : status.outcome);
  return fields;
}

template <typename Enum>
Enum named(std::string_view name, unsigned count) {
  for (unsigned value = 0; value < count; ++value) {
    if (to_string(static_cast<Enum>(value)) == name) return static_cast<Enum>(value);
  }
  throw std::runtime_error("no value is named " + std::string(name));
}

Bytes payload_of(const boost::json::object& action) {
  if (const auto* hex = action.if_contains("payload")) return bytes_of(*hex);
  if (action.contains("payload_bytes")) {
    return Bytes(number_of(action, "payload_bytes"), std::byte{'x'});
  }
  return {};
}

// Metadata that an action asks for: service, method, subject, status.
std::span<const std::byte> metadata_of(const boost::json::object& action,
                                       std::span<std::byte> buffer) {
  MetadataWriter writer(buffer);
  const std::string service = text_of(action, "service");
  const std::string method = text_of(action, "method");
  if (!service.empty()) writer.service(service);
  if (!method.empty()) writer.method(method);
  const std::string subject = text_of(action, "subject");
  if (!subject.empty()) writer.put(MetadataKey::subject, subject);
  if (action.contains("status")) {
    writer.status({.code = named<StatusCode>(text_of(action, "status"), 17)});
  }
  return *writer.finish();
}

}  // namespace

Transcript::Transcript(const boost::json::object& file, std::size_t read_bytes)
    : file_(file),
      read_bytes_(read_bytes),
      session_(text_of(file, "role") == "dialer" ? Role::dialer : Role::acceptor, config_of(file),
               pool_, now_) {}

void Transcript::run() {
  collect();
  for (const auto& step : file_.at("steps").as_array()) {
    SCOPED_TRACE(boost::json::serialize(step).substr(0, 300));
    run_step(step.as_object());
    if (testing::Test::HasFailure()) return;
  }
  for (const auto& event : seen_) {
    EXPECT_FALSE(kMessages.contains(event.at("event").as_string()))
        << "no step expects " << boost::json::serialize(event);
  }
}

void Transcript::run_step(const boost::json::object& step) {
  if (const auto* hex = step.if_contains("peer")) return receive(*hex);
  if (const auto* want = step.if_contains("sends")) return expect_sent(want->as_object());
  if (const auto* want = step.if_contains("sees")) return expect_seen(want->as_object());
  if (const auto* action = step.if_contains("does")) return act(action->as_object());
  if (step.contains("passes_ms")) {
    return pass(std::chrono::milliseconds(number_of(step, "passes_ms")));
  }
  if (step.contains("quiet")) return expect_quiet();
  if (step.contains("ends")) return expect_ended(text_of(step, "ends"));
  if (const auto* want = step.if_contains("sent_at_most")) {
    EXPECT_LE(sent_on(number_of(want->as_object(), "stream"), /*credit=*/true),
              number_of(want->as_object(), "bytes"));
    return;
  }
  if (const auto* want = step.if_contains("sent_in_all")) {
    EXPECT_EQ(sent_on(number_of(want->as_object(), "stream"), /*credit=*/false),
              number_of(want->as_object(), "payload_bytes"));
    return;
  }
  ADD_FAILURE() << "unknown step";
}

void Transcript::receive(const boost::json::value& hex) {
  const Bytes bytes = bytes_of(hex);
  for (std::span<const std::byte> left = bytes; !left.empty();) {
    const auto read = left.first(std::min(read_bytes_, left.size()));
    session_.receive(read, now_);
    collect();
    left = left.subspan(read.size());
  }
}

void Transcript::pass(Duration time) {
  const Instant until = now_ + time;
  while (const auto deadline = session_.deadline()) {
    if (*deadline > until) break;
    now_ = std::max(now_, *deadline);
    session_.on_deadline(now_);
    collect();
    if (session_.deadline() == deadline) break;
  }
  now_ = until;
  session_.on_deadline(now_);
  collect();
}

void Transcript::act(const boost::json::object& action) {
  const std::string what = text_of(action, "action");
  const auto stream =
      static_cast<std::uint32_t>(action.contains("stream") ? number_of(action, "stream") : 0);
  std::array<std::byte, 4096> buffer;
  const Bytes payload = payload_of(action);
  const Outgoing message{.metadata = metadata_of(action, buffer), .payload = payload};
  if (what == "open") {
    const auto kind = named<StreamKind>(text_of(action, "kind"), 5);
    EXPECT_TRUE(session_.open_stream(kind, 0, message, 0).has_value());
  } else if (what == "request") {
    EXPECT_TRUE(session_.send_request(stream, message).has_value());
  } else if (what == "notify") {
    EXPECT_TRUE(session_.send_notify(stream, message).has_value());
  } else if (what == "respond") {
    const auto correlation = static_cast<std::uint32_t>(number_of(action, "correlation"));
    EXPECT_TRUE(session_.send_response(stream, correlation, message).has_value());
  } else if (what == "publish") {
    const bool ack = action.contains("ack") && action.at("ack").as_bool();
    EXPECT_TRUE(session_.send_publish(stream, message, ack).has_value());
  } else if (what == "published") {
    const auto correlation = static_cast<std::uint32_t>(number_of(action, "correlation"));
    const auto level = static_cast<std::uint8_t>(number_of(action, "level"));
    EXPECT_TRUE(session_.send_published(stream, correlation, level, message.metadata).has_value());
  } else if (what == "event") {
    const auto sequence = static_cast<std::uint32_t>(number_of(action, "sequence"));
    EXPECT_TRUE(session_.send_event(stream, sequence, message).has_value());
  } else if (what == "data") {
    EXPECT_TRUE(session_.send_data(stream, message).has_value());
  } else if (what == "end") {
    EXPECT_TRUE(session_.send_end(stream, message.metadata).has_value());
  } else if (what == "reset") {
    session_.reset(stream, named<CloseCode>(text_of(action, "code"), 28));
  } else if (what == "consume") {
    session_.consume(stream, static_cast<std::uint32_t>(number_of(action, "bytes")));
  } else if (what == "auth") {
    EXPECT_TRUE(session_.send_auth(payload).has_value());
  } else if (what == "auth_ok") {
    session_.send_auth_ok(static_cast<std::uint32_t>(number_of(action, "seconds_left")));
  } else if (what == "drain") {
    session_.drain(std::chrono::milliseconds(number_of(action, "ms")), now_);
  } else {
    ADD_FAILURE() << "unknown action " << what;
  }
  collect();
}

void Transcript::collect() {
  for (;;) {
    while (const Event* event = session_.poll_event()) seen_.push_back(describe(*event));
    if (!session_.has_output()) return;
    const std::size_t before = all_sent_.size() + unread_.size();
    collect_frames();
    if (all_sent_.size() + unread_.size() == before) return;  // What waits lacks credit.
  }
}

void Transcript::collect_frames() {
  std::array<std::span<const std::byte>, 16> pieces;
  while (const std::size_t count = session_.gather(pieces, kGatherBytes)) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < count; ++i) {
      unread_.insert(unread_.end(), pieces[i].begin(), pieces[i].end());
      size += pieces[i].size();
    }
    session_.written(size, now_);
  }
  std::span<const std::byte> left = unread_;
  while (left.size() >= kHeaderBytes) {
    const auto header = decode_header(left.first<kHeaderBytes>(), kFrameBodyBytesMax);
    ASSERT_TRUE(header.has_value()) << "it sent a bad header";
    if (left.size() < kHeaderBytes + header->body_bytes) break;
    auto frame = describe_frame(*header, left.subspan(kHeaderBytes, header->body_bytes));
    frame["credit_bytes"] = properties(header->type).stream_credit ? header->credit_bytes() : 0;
    sent_.push_back(frame);
    all_sent_.push_back(std::move(frame));
    left = left.subspan(kHeaderBytes + header->body_bytes);
  }
  unread_.erase(unread_.begin(), unread_.end() - static_cast<std::ptrdiff_t>(left.size()));
}

void Transcript::expect_sent(const boost::json::object& want) {
  for (auto frame = sent_.begin(); frame != sent_.end(); ++frame) {
    if (matches(want, *frame)) {
      sent_.erase(frame);
      return;
    }
    ASSERT_TRUE(kUnprompted.contains(frame->at("type").as_string()))
        << "it sent " << boost::json::serialize(*frame).substr(0, 500);
  }
  ADD_FAILURE() << "it sent nothing of the kind";
}

void Transcript::expect_seen(const boost::json::object& want) {
  while (!seen_.empty()) {
    const auto event = std::move(seen_.front());
    seen_.pop_front();
    if (matches(want, event)) return;
    const auto& name = event.at("event").as_string();
    ASSERT_FALSE(kMessages.contains(name) || name == want.at("event").as_string())
        << "its application was told " << boost::json::serialize(event).substr(0, 500);
  }
  ADD_FAILURE() << "its application was told nothing of the kind";
}

void Transcript::expect_quiet() {
  for (const auto& frame : sent_) {
    EXPECT_TRUE(kUnprompted.contains(frame.at("type").as_string()))
        << "it sent " << boost::json::serialize(frame).substr(0, 500);
  }
  for (const auto& event : seen_) {
    EXPECT_FALSE(kMessages.contains(event.at("event").as_string()))
        << "its application was told " << boost::json::serialize(event).substr(0, 500);
  }
  sent_.clear();
  seen_.clear();
}

void Transcript::expect_ended(const std::string& code) {
  EXPECT_TRUE(session_.closed());
  expect_seen({{"event", "closed"}, {"code", code}});
  expect_quiet();
}

std::uint64_t Transcript::sent_on(std::uint64_t stream, bool credit) const {
  std::uint64_t sum = 0;
  for (const auto& frame : all_sent_) {
    if (!frame.contains("stream") || number_of(frame, "stream") != stream) continue;
    if (number_of(frame, "credit_bytes") == 0) continue;
    sum += number_of(frame, credit ? "credit_bytes" : "payload_bytes");
  }
  return sum;
}

}  // namespace valkyrie::conformance
