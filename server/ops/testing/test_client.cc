#include "server/ops/testing/test_client.h"

#include <algorithm>
#include <array>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

#include "protocol/messages/registry.h"
#include "server/ops/testing/server_process.h"
#include "transport/address.h"
#include "transport/clock.h"

namespace valkyrie::server::testing {

using protocol::Event;
using protocol::EventType;
using transport::Socket;

Socket dial(std::string_view url) {
  const auto address = transport::parse_address(url);
  if (!address) return {};
  const auto candidates = transport::resolve(*address);
  if (!candidates || candidates->empty()) return {};
  const transport::SocketAddress& at = candidates->front();
  Socket socket(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.fd(), at.get(), at.size) != 0) return {};
  return socket;
}

void send_bytes(const Socket& socket, std::string_view bytes) {
  static_cast<void>(::send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
}

std::optional<std::string> read_until_closed(const Socket& socket) {
  std::string received;
  while (true) {
    pollfd ready{.fd = socket.fd(), .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kPatienceMs) <= 0) return std::nullopt;
    std::array<char, 4096> buffer{};
    const ssize_t count = ::recv(socket.fd(), buffer.data(), buffer.size(), 0);
    if (count <= 0) return received;
    received.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

namespace {

// SUBJECT alone, as it stands: a MetadataWriter would refuse what tests must send.
std::vector<std::byte> subject_entry(std::string_view subject) {
  if (subject.empty()) return {};
  std::vector<std::byte> entry = {static_cast<std::byte>(protocol::MetadataKey::subject),
                                  static_cast<std::byte>(subject.size() >> 8),
                                  static_cast<std::byte>(subject.size() & 0xFF)};
  const auto bytes = std::as_bytes(std::span(subject));
  entry.insert(entry.end(), bytes.begin(), bytes.end());
  return entry;
}

}  // namespace

TestClient::TestClient(transport::Reactor& reactor, std::string_view url,
                       const protocol::SessionConfig& config,
                       std::unique_ptr<protocol::Channel> channel)
    : reactor_(reactor) {
  Socket socket = dial(url);
  if (!socket) {
    closed_ = transport::CloseReason{.cause = transport::CloseCause::io_error};
    return;
  }
  transport::tune_stream(socket.fd(), {});
  transport::ConnectionHandler& handler = *this;
  connection_ = std::make_unique<transport::Connection>(
      reactor_, std::move(socket), protocol::Role::dialer, config, pool_, handler,
      transport::ConnectionOptions{}, nullptr, std::move(channel));
  if (!connection_->start()) closed_ = transport::CloseReason{};
}

bool TestClient::turn_until(const std::function<bool()>& condition) {
  const protocol::Instant end = transport::monotonic_now() + std::chrono::milliseconds(kPatienceMs);
  while (!condition()) {
    const protocol::Duration left = end - transport::monotonic_now();
    if (left <= protocol::Duration(0)) return false;
    reactor_.turn(left);
  }
  return true;
}

bool TestClient::wait_ready() {
  return turn_until([this] { return ready || closed_; }) && ready;
}

std::optional<transport::CloseReason> TestClient::wait_closed() {
  static_cast<void>(turn_until([this] { return closed_.has_value(); }));
  return closed_;
}

std::uint32_t TestClient::open(protocol::StreamKind kind, std::string_view service,
                               std::string_view method, protocol::MetadataKey key,
                               std::string_view value) {
  std::array<std::byte, 1024> buffer;
  protocol::MetadataWriter writer(buffer);
  writer.service(service);
  writer.method(method);
  if (!value.empty()) writer.put(key, value);
  const auto metadata = writer.finish();
  const auto stream = connection_->session().open_stream(kind, 0, {.metadata = *metadata}, 0);
  if (!stream) return 0;
  opened_.push_back(*stream);
  return *stream;
}

std::uint32_t TestClient::start_call(std::string_view service, std::string_view method,
                                     std::string_view payload) {
  if (closed_) {
    answers.push_back({.code = protocol::StatusCode::unavailable, .text = "closed"});
    return 0;
  }
  const std::uint32_t stream = open(protocol::StreamKind::call, service, method);
  start_call(stream, payload);
  return stream;
}

std::uint32_t TestClient::start_call_with(std::string_view service, std::string_view method,
                                          std::string_view payload, protocol::MetadataKey key,
                                          std::string_view value) {
  const std::uint32_t stream = open(protocol::StreamKind::call, service, method, key, value);
  start_call(stream, payload);
  return stream;
}

void TestClient::start_call(std::uint32_t stream, std::string_view payload) {
  const auto sent =
      connection_->session().send_request(stream, {.payload = std::as_bytes(std::span(payload))});
  if (!sent) {
    answers.push_back({.code = protocol::StatusCode::unavailable,
                       .outcome = protocol::Outcome::not_executed,
                       .text = std::string(protocol::to_string(sent.error()))});
  }
}

Answer TestClient::call(std::string_view service, std::string_view method,
                        std::string_view payload) {
  start_call(service, method, payload);
  return wait_answer();
}

Answer TestClient::wait_answer() {
  if (!turn_until([this] { return !answers.empty(); })) return {.code = {}, .text = "no answer"};
  Answer answer = std::move(answers.front());
  answers.pop_front();
  return answer;
}

bool TestClient::serve(std::string_view service) {
  const std::uint32_t stream =
      open(protocol::StreamKind::stream, messages::kRegistryService, "Register");
  const messages::RegisterMessage message =
      messages::RegisterRequest{.service = std::string(service)};
  const std::string body = messages::encode(message);
  const auto sent =
      connection_->session().send_data(stream, {.payload = std::as_bytes(std::span(body))});
  const auto over = [&] { return std::ranges::find(over_, stream) != over_.end(); };
  return sent && turn_until([&] { return registered_ || over() || closed_; }) && registered_;
}

void TestClient::answer(std::string_view payload) {
  const Request request = std::move(requests.front());
  requests.pop_front();
  static_cast<void>(connection_->session().send_response(
      request.stream, request.correlation, {.payload = std::as_bytes(std::span(payload))}));
  end_if_answered(request.stream);
}

std::uint32_t TestClient::open_subject(protocol::StreamKind kind, std::string_view subject) {
  const std::vector<std::byte> metadata = subject_entry(subject);
  return connection_->session().open_stream(kind, 0, {.metadata = metadata}, 0).value_or(0);
}

Answer TestClient::publish(std::uint32_t stream, std::string_view subject) {
  const std::vector<std::byte> metadata = subject_entry(subject);
  const auto sent =
      connection_->session().send_publish(stream, {.metadata = metadata}, /*acknowledge=*/true);
  if (!sent) return {.code = protocol::StatusCode::unknown};
  return wait_answer();
}

std::optional<std::uint32_t> TestClient::show(std::string_view credential) {
  seconds_left.reset();
  if (!connection_->session().send_auth(std::as_bytes(std::span(credential)))) return std::nullopt;
  static_cast<void>(turn_until([this] { return seconds_left || closed_; }));
  return seconds_left;
}

void TestClient::reset(std::uint32_t stream) {
  connection_->session().reset(stream, protocol::CloseCode::cancelled);
}

// This side's END follows its last answer.
void TestClient::end_if_answered(std::uint32_t stream) {
  const bool owes = std::ranges::any_of(
      requests, [stream](const Request& request) { return request.stream == stream; });
  if (owes || std::erase(ended_, stream) == 0) return;
  static_cast<void>(connection_->session().send_end(stream));
}

void TestClient::end_streams() {
  for (const std::uint32_t stream : std::exchange(opened_, {})) {
    static_cast<void>(connection_->session().send_end(stream));
  }
}

void TestClient::close() { connection_->session().close(protocol::CloseCode::none); }

void TestClient::on_event(transport::Connection& connection, const Event& event) {
  const std::string payload(reinterpret_cast<const char*>(event.payload.data()),
                            event.payload.size());
  const auto status = event.metadata.status().value_or(protocol::Status{});
  switch (event.type) {
    case EventType::ready:
      ready = true;
      break;
    case EventType::stream_opened:
      ++streams_opened;
      caller = std::string(event.metadata.identity().value_or(protocol::IdentityValue{}).subject);
      break;
    case EventType::auth_ok:
      seconds_left = event.seconds_left;
      break;
    case EventType::goaway:
      goaway = true;
      break;
    case EventType::data:
      registered_ = true;
      break;
    case EventType::request:
      requests.push_back({event.stream, event.correlation, payload});
      break;
    case EventType::response:
    case EventType::published:
      answers.push_back({status.code, status.outcome, std::string(status.text), payload});
      break;
    case EventType::request_failed:
      answers.push_back(
          {event.status, event.outcome, std::string(protocol::to_string(event.code)), {}});
      break;
    case EventType::reset:
      resets[event.stream] = event.code;
      break;
    case EventType::end:
      ended_.push_back(event.stream);
      over_.push_back(event.stream);
      end_if_answered(event.stream);
      break;
    default:
      break;
  }
  if (event.cost != 0) connection.session().consume(event.stream, event.cost);
}

void TestClient::on_closed(transport::Connection&, const transport::CloseReason& reason) {
  closed_ = reason;
}

}  // namespace valkyrie::server::testing
