#include "sdk/cpp/test/fake_node.h"

#include <algorithm>
#include <array>
#include <deque>
#include <fmt/core.h>
#include <future>
#include <unistd.h>

#include "protocol/assert.h"
#include "protocol/messages/registry.h"
#include "protocol/metadata.h"
#include "protocol/session.h"
#include "transport/address.h"

namespace valkyrie::test {
namespace {

std::string fresh_url() {
  static std::atomic<int> count{0};
  return fmt::format("unix:@valkyrie-sdk-test-{}-{}", ::getpid(), ++count);
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

// A stream of a client, or (upstream) to a service.
struct FakeNode::Stream {
  std::string service;
  std::string method;
  std::uint32_t id = 0;
  protocol::StreamKind kind = protocol::StreamKind::call;
  bool registered = false;
  std::map<Peer*, std::uint32_t> routes;
  // Of a stream that is routed: its other half, and the credit owed for what waits to go there.
  Peer* peer = nullptr;
  Stream* partner = nullptr;
  std::deque<std::uint32_t> behind;
};

struct FakeNode::Peer {
  Peer(FakeNode& node, transport::Socket socket, const protocol::SessionConfig& config)
      : connection(*node.reactor_, std::move(socket), protocol::Role::acceptor, config,
                   node.buffers_, node) {}

  transport::Connection connection;
  bool gone = false;
  std::vector<std::unique_ptr<Stream>> streams;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::string> refused;
};

FakeNode::FakeNode(std::string url, std::uint32_t requests_in_flight_max)
    : url_(url.empty() ? fresh_url() : std::move(url)),
      requests_in_flight_max_(requests_in_flight_max) {
  auto reactor = transport::Reactor::create();
  VALKYRIE_ASSERT(reactor.has_value());
  reactor_ = std::move(*reactor);
  const auto address = transport::parse_address(url_);
  VALKYRIE_ASSERT(address.has_value());
  auto listener = transport::Listener::listen(*address);
  VALKYRIE_ASSERT(listener.has_value());
  listener_.emplace(std::move(*listener));
  url_ = transport::to_string(listener_->address());
  acceptor_.emplace(*reactor_, listener_->fd(0), false,
                    static_cast<transport::AcceptHandler&>(*this));
  VALKYRIE_ASSERT(acceptor_->start().has_value());
  thread_ = std::thread([this] { reactor_->run(); });
}

FakeNode::~FakeNode() {
  reactor_->stop();
  thread_.join();
  acceptor_.reset();
  listener_.reset();
  peers_.clear();
  dead_.clear();
}

void FakeNode::run(std::function<void()> work) {
  std::promise<void> done;
  reactor_->post([&work, &done] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

std::string FakeNode::health() {
  std::string said;
  run([this, &said] { said = health_; });
  return said;
}

void FakeNode::cut() {
  run([this] {
    for (const auto& peer : peers_) {
      if (!peer->gone) peer->connection.abort();
    }
  });
}

void FakeNode::drain(protocol::Duration grace) {
  run([this, grace] {
    for (const auto& peer : peers_) {
      if (!peer->gone) peer->connection.session().drain(grace, reactor_->now());
    }
  });
}

FakeNode::Peer& FakeNode::peer_of(transport::Connection& connection) {
  const auto found = std::ranges::find_if(
      peers_, [&connection](const auto& peer) { return &peer->connection == &connection; });
  VALKYRIE_ASSERT(found != peers_.end());
  return **found;
}

void FakeNode::on_accepted(transport::Socket socket) {
  protocol::SessionConfig config;
  config.node_id = "fake";
  config.limits.requests_in_flight_max = requests_in_flight_max_;
  // What it passes on is never refused for want of room: it has no queue of its own.
  config.limits.queued_bytes_max = protocol::kQueuedBytesMax;
  peers_.push_back(std::make_unique<Peer>(*this, std::move(socket), config));
  ++accepted_;
  if (!peers_.back()->connection.start()) peers_.pop_back();
}

void FakeNode::on_closed(transport::Connection& connection, const transport::CloseReason&) {
  peer_of(connection).gone = true;
  subjects_.forget(connection);
  acceptor_->connection_closed();
}

void FakeNode::on_event(transport::Connection& connection, const protocol::Event& event) {
  Peer& peer = peer_of(connection);
  if (subjects_.on_event(connection, event)) return;
  auto* stream = reinterpret_cast<Stream*>(event.user);
  switch (event.type) {
    case protocol::EventType::stream_opened:
      return on_opened(peer, event);
    case protocol::EventType::request:
      peer.connection.session().consume(event.stream, event.cost);
      return on_request(peer, *stream, event);
    case protocol::EventType::data:
      return on_data(peer, *stream, event);
    case protocol::EventType::flushed:
      if (stream != nullptr) on_flushed(*stream);
      return;
    case protocol::EventType::reset:
      if (stream != nullptr) on_reset(*stream, event);
      return;
    case protocol::EventType::end:
      if (stream != nullptr) on_end(peer, *stream, event);  // Else one of ours, to a service.
      return;
    case protocol::EventType::cancel:
      ++cancels_;
      return;
    case protocol::EventType::response:
      peer.connection.session().consume(event.stream, event.cost);
      return answer_routed(peer, event);
    case protocol::EventType::request_failed:
      return answer_routed(peer, event);
    default:
      return;
  }
}

void FakeNode::on_opened(Peer& peer, const protocol::Event& event) {
  auto stream = std::make_unique<Stream>();
  stream->service = event.metadata.service().value_or("");
  stream->method = event.metadata.method().value_or("");
  stream->id = event.stream;
  stream->kind = event.kind;
  stream->peer = &peer;
  Stream& added = *stream;
  peer.connection.session().set_user(event.stream, reinterpret_cast<std::uint64_t>(stream.get()));
  peer.streams.push_back(std::move(stream));
  const bool own = added.service == "fake.Node" || added.service == messages::kRegistryService;
  if (added.kind == protocol::StreamKind::stream && !own) link(added, event);
}

// Opens the other half of a stream, at its service.
void FakeNode::link(Stream& stream, const protocol::Event& event) {
  std::array<std::byte, 2048> buffer;
  protocol::MetadataWriter writer(buffer);
  protocol::Session& session = stream.peer->connection.session();
  const auto found = services_.find(stream.service);
  if (found == services_.end() || found->second->gone) {
    writer.status({.code = protocol::StatusCode::unavailable,
                   .outcome = protocol::Outcome::not_executed,
                   .text = "no service"});
    static_cast<void>(session.send_end(event.stream, writer.finish().value()));
    return;
  }
  if (const auto deadline = event.metadata.deadline()) writer.deadline(*deadline);
  writer.service(stream.service);
  writer.method(stream.method);
  writer.identity({.method = 1, .tenant = "default", .subject = "tester"});
  event.metadata.for_each_pair(
      [&writer](std::string_view name, std::string_view value) { writer.pair(name, value); });
  Peer& service = *found->second;
  auto half = std::make_unique<Stream>();
  half->kind = stream.kind;
  half->peer = &service;
  half->partner = &stream;
  stream.partner = half.get();
  half->id =
      service.connection.session()
          .open_stream(stream.kind, 0, {.metadata = writer.finish().value(), .qos = event.qos},
                       reinterpret_cast<std::uint64_t>(half.get()))
          .value();
  service.streams.push_back(std::move(half));
}

// Credit returns when a part has gone on, so the node keeps no more than a window.
void FakeNode::pass_on(Stream& stream, const protocol::Event& event) {
  const Stream& to = *stream.partner;
  const auto sent = to.peer->connection.session().send_data(
      to.id, {.payload = event.payload, .qos = event.qos, .relayed = true}, event.more);
  if (sent && sent->waiting) {
    stream.behind.push_back(event.cost);
  } else {
    stream.peer->connection.session().consume(event.stream, event.cost);
  }
}

void FakeNode::on_flushed(Stream& stream) {
  Stream* from = stream.partner;
  if (from == nullptr || from->behind.empty()) return;
  from->peer->connection.session().consume(from->id, from->behind.front());
  from->behind.pop_front();
}

void FakeNode::on_reset(Stream& stream, const protocol::Event& event) {
  if (stream.partner == nullptr) return;
  Stream& other = *std::exchange(stream.partner, nullptr);
  other.partner = nullptr;
  const bool lost = event.code == protocol::CloseCode::none;
  if (other.peer->gone) return;
  other.peer->connection.session().reset(other.id,
                                         lost ? protocol::CloseCode::destination_lost : event.code);
}

void FakeNode::answer(Peer& peer, const protocol::Event& event, std::string_view body,
                      protocol::StatusCode code, protocol::Outcome outcome, std::string_view text) {
  std::array<std::byte, 2048> buffer;
  protocol::MetadataWriter writer(buffer);
  if (code != protocol::StatusCode::ok) {
    writer.status({.code = code, .outcome = outcome, .text = text});
  }
  static_cast<void>(peer.connection.session().send_response(
      event.stream, event.correlation,
      {.metadata = writer.finish().value(), .payload = bytes_of(body), .qos = event.qos}));
}

void FakeNode::on_request(Peer& peer, Stream& stream, const protocol::Event& event) {
  using protocol::Outcome;
  using protocol::StatusCode;
  if (stream.service != "fake.Node") return route(peer, stream, event);
  const std::string body(text_of(event.payload));
  if (stream.method == "Echo") return answer(peer, event, body);
  if (stream.method == "Fail") {
    return answer(peer, event, {}, StatusCode::not_found, Outcome::executed, "nothing here");
  }
  const bool again = event.metadata.octet(protocol::MetadataKey::attempt).has_value();
  if (again) ++repeats_;
  if (stream.method == "Silent") return;
  if (stream.method == "Refuse" || (stream.method == "RefuseOnce" && !again)) {
    ++refusals_;
    return answer(peer, event, {}, StatusCode::unavailable, Outcome::not_executed, "busy");
  }
  if (stream.method == "RefuseOnce") return answer(peer, event, body);
  if (stream.method == "Repeats") return answer(peer, event, fmt::format("{}", repeats_));
  if (on_attempt(peer, stream.method, event, body, again)) return;
  if (stream.method == "Refusals") return answer(peer, event, fmt::format("{}", refusals_));
  if (stream.method == "Cancels") return answer(peer, event, fmt::format("{}", cancels_));
  if (stream.method == "Remaining") {
    const auto left = event.metadata.deadline();
    return answer(peer, event, left ? fmt::format("{}", left->count()) : "stream");
  }
  if (stream.method == "Pairs") {
    std::string all;
    event.metadata.for_each_pair([&all](std::string_view name, std::string_view value) {
      all += fmt::format("{}={};", name, value);
    });
    return answer(peer, event, all);
  }
  answer(peer, event, {}, StatusCode::unimplemented, Outcome::not_executed, "no such method");
}

// Methods that treat the first attempt at a call otherwise than those that follow.
bool FakeNode::on_attempt(Peer& peer, std::string_view method, const protocol::Event& event,
                          std::string_view body, bool again) {
  using protocol::Outcome;
  using protocol::StatusCode;
  if (method == "SilentOnce") {
    if (again) answer(peer, event, body);
    return true;
  }
  if (method == "MaybeOnce") {
    if (again) {
      answer(peer, event, body);
    } else {
      answer(peer, event, {}, StatusCode::unavailable, Outcome::maybe_executed, "lost");
    }
    return true;
  }
  if (method != "AnswerBoth" && method != "RefuseSecond") return false;
  const std::string key(body);
  if (!again) {
    protocol::Event kept;
    kept.stream = event.stream;
    kept.correlation = event.correlation;
    kept.qos = event.qos;
    first_attempts_[key] = kept;
    return true;
  }
  if (method == "RefuseSecond") {
    answer(peer, event, {}, StatusCode::unavailable, Outcome::not_executed, "busy");
  } else {
    answer(peer, event, body);
  }
  answer(peer, first_attempts_.at(key), body);
  return true;
}

void FakeNode::route(Peer& peer, Stream& stream, const protocol::Event& event) {
  using protocol::Outcome;
  using protocol::StatusCode;
  const auto found = services_.find(stream.service);
  if (found == services_.end() || found->second->gone) {
    return answer(peer, event, {}, StatusCode::unavailable, Outcome::not_executed, "no service");
  }
  Peer& service = *found->second;
  auto& upstream = stream.routes[&service];
  if (upstream == 0) {
    std::array<std::byte, 1024> buffer;
    protocol::MetadataWriter writer(buffer);
    writer.service(stream.service);
    if (!stream.method.empty()) writer.method(stream.method);
    writer.identity({.method = 1, .tenant = "default", .subject = "tester"});
    const auto opened = service.connection.session().open_stream(
        protocol::StreamKind::call, 0, {.metadata = writer.finish().value()}, 0);
    if (!opened) {
      return answer(peer, event, {}, StatusCode::unavailable, Outcome::not_executed,
                    to_string(opened.error()));
    }
    upstream = *opened;
  }
  const std::uint64_t cookie = ++last_cookie_;
  const auto sent =
      service.connection.session().send_request(upstream, {.metadata = event.metadata.bytes(),
                                                           .payload = event.payload,
                                                           .qos = event.qos,
                                                           .cookie = cookie});
  if (sent) {
    routed_[cookie] = {.from = &peer, .stream = event.stream, .correlation = event.correlation};
    peer.connection.session().set_cookie(event.stream, event.correlation, sent->correlation);
    return;
  }
  answer(peer, event, {}, StatusCode::unavailable, Outcome::not_executed, to_string(sent.error()));
}

void FakeNode::reset_routes(const std::string& service) {
  run([this, &service] {
    Peer* const there = services_.at(service);
    for (const auto& peer : peers_) {
      for (const auto& stream : peer->streams) {
        const auto route = stream->routes.find(there);
        if (route == stream->routes.end()) continue;
        there->connection.session().reset(route->second, protocol::CloseCode::cancelled);
        stream->routes.erase(route);
      }
    }
  });
}

void FakeNode::answer_routed(Peer&, const protocol::Event& event) {
  const auto node = routed_.extract(event.cookie);
  VALKYRIE_ASSERT(!node.empty());
  const Routed& routed = node.mapped();
  protocol::Event original;
  original.stream = routed.stream;
  original.correlation = routed.correlation;
  original.qos = event.qos;
  if (!routed.from->gone) {
    if (event.type == protocol::EventType::request_failed) {
      answer(*routed.from, original, {}, event.status, event.outcome, "lost");
    } else {
      static_cast<void>(routed.from->connection.session().send_response(
          original.stream, original.correlation,
          {.metadata = event.metadata.bytes(), .payload = event.payload, .qos = event.qos}));
    }
  }
}

void FakeNode::on_data(Peer& peer, Stream& stream, const protocol::Event& event) {
  if (stream.partner != nullptr) return pass_on(stream, event);
  protocol::Session& session = peer.connection.session();
  if (stream.method == "Deaf") return;
  session.consume(event.stream, event.cost);
  if (stream.method == "Register") return on_register(peer, stream, event);
  std::array<std::byte, 256> buffer;
  protocol::MetadataWriter writer(buffer);
  if (stream.method == "Broken") {
    writer.status({.code = protocol::StatusCode::aborted,
                   .outcome = protocol::Outcome::executed,
                   .text = "broken on purpose"});
    static_cast<void>(session.send_end(event.stream, writer.finish().value()));
    return;
  }
  static_cast<void>(session.send_data(event.stream, {.payload = event.payload}, event.more));
}

void FakeNode::on_register(Peer& peer, Stream& stream, const protocol::Event& event) {
  const auto message = messages::decode<messages::RegisterMessage>(event.payload);
  VALKYRIE_ASSERT(message.has_value());
  const auto* request = std::get_if<messages::RegisterRequest>(&*message);
  if (request == nullptr) {
    const auto& update = std::get<messages::InstanceUpdate>(*message);
    if (!update.health) return;
    if (!health_.empty()) health_ += ' ';
    health_ += messages::to_string(*update.health);
    return;
  }
  protocol::Session& session = peer.connection.session();
  if (refuse_) {
    std::array<std::byte, 256> buffer;
    protocol::MetadataWriter writer(buffer);
    writer.status({.code = protocol::StatusCode::permission_denied,
                   .outcome = protocol::Outcome::not_executed,
                   .text = "not yours"});
    static_cast<void>(session.send_end(event.stream, writer.finish().value()));
    return;
  }
  ++registrations_;
  stream.service = request->service;
  stream.registered = true;
  services_[request->service] = &peer;
  messages::RegisterReply reply;
  reply.instance = request->instance.empty() ? "i-1" : request->instance;
  const std::string body = messages::encode(messages::RegisterEvent(reply));
  static_cast<void>(session.send_data(event.stream, {.payload = bytes_of(body)}));
}

void FakeNode::on_end(Peer& peer, Stream& stream, const protocol::Event& event) {
  if (stream.partner != nullptr) {
    const Stream& to = *stream.partner;
    static_cast<void>(to.peer->connection.session().send_end(to.id, event.metadata.bytes()));
    return;
  }
  if (stream.registered && services_[stream.service] == &peer) services_.erase(stream.service);
  // On `call` the session does so after the last answer.
  if (stream.kind == protocol::StreamKind::stream) {
    static_cast<void>(peer.connection.session().send_end(event.stream));
  }
}

}  // namespace valkyrie::test
