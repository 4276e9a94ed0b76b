// Two sessions joined by byte pipes, for tests: bytes are cut where the test says, and every event
// is kept as a copy.
// Private to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/buffer_pool.h"
#include "protocol/metadata.h"
#include "protocol/session.h"

namespace valkyrie::protocol::testing {

using namespace std::chrono_literals;

// Bytes of a text.
inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// An event with copies of what it borrowed.
struct Seen {
  Event event;
  std::string payload;
  std::string status_text;
  StatusCode status = StatusCode::ok;
  Outcome outcome = Outcome::executed;
  std::string service;
};

// One side with what it has been told.
class Side {
 public:
  Side(Role role, const SessionConfig& config, Instant now) : session(role, config, pool, now) {}

  // Takes all events; `on_event`, if set, sees each first.
  void poll() {
    while (const Event* event = session.poll_event()) {
      if (on_event) on_event(*event);
      Seen seen{.event = *event};
      seen.payload.assign(reinterpret_cast<const char*>(event->payload.data()),
                          event->payload.size());
      if (const auto status = event->metadata.status()) {
        seen.status = status->code;
        seen.outcome = status->outcome;
        seen.status_text = status->text;
      }
      if (const auto service = event->metadata.service()) seen.service = *service;
      seen.event.payload = {};
      seen.event.metadata = {};
      events.push_back(std::move(seen));
    }
  }

  // All that the session wants to write now, at most `limit` bytes of it.
  std::vector<std::byte> take_output(Instant now, std::size_t limit = SIZE_MAX) {
    std::vector<std::byte> out;
    std::span<const std::byte> pieces[16];
    while (out.size() < limit) {
      const std::size_t count = session.gather(pieces, 128 * 1024);
      if (count == 0) break;
      std::size_t taken = 0;
      for (std::size_t i = 0; i < count && out.size() < limit; ++i) {
        const auto piece = pieces[i].first(std::min(pieces[i].size(), limit - out.size()));
        out.insert(out.end(), piece.begin(), piece.end());
        taken += piece.size();
      }
      session.written(taken, now);
    }
    return out;
  }

  // Events of a type, in order.
  [[nodiscard]] std::vector<Seen> all(EventType type) const {
    std::vector<Seen> found;
    for (const Seen& seen : events) {
      if (seen.event.type == type) found.push_back(seen);
    }
    return found;
  }
  [[nodiscard]] std::size_t count(EventType type) const { return all(type).size(); }

  BufferPool pool;
  Session session;
  std::vector<Seen> events;
  std::function<void(const Event&)> on_event;
};

// A dialer and an acceptor.
class Pair {
 public:
  explicit Pair(const SessionConfig& dialer_config = {}, const SessionConfig& acceptor_config = {})
      : dialer(Role::dialer, dialer_config, now), acceptor(Role::acceptor, acceptor_config, now) {}

  // Carries bytes both ways until neither side has more, in pieces of at most `piece` bytes.
  void run(std::size_t piece = SIZE_MAX) {
    for (bool moved = true; moved;) {
      moved = carry(dialer, acceptor, piece);
      moved = carry(acceptor, dialer, piece) || moved;
    }
  }

  // Carries what `from` has to write to `to`. False if there was nothing.
  bool carry(Side& from, Side& to, std::size_t piece = SIZE_MAX) {
    from.poll();
    const auto bytes = from.take_output(now);
    for (std::size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size() - at)) {
      to.session.receive(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)), now);
      to.poll();
    }
    to.poll();
    return !bytes.empty();
  }

  // Lets time pass; both sides see their deadlines.
  void advance(Duration by) {
    now += by;
    for (Side* side : {&dialer, &acceptor}) {
      while (side->session.deadline() && *side->session.deadline() <= now) {
        side->session.on_deadline(now);
        side->poll();
        if (side->session.deadline() && *side->session.deadline() <= now) break;
      }
    }
    run();
  }

  // A call stream of the dialer to a service.
  std::uint32_t open_call(std::string_view service = "test.Echo", std::uint8_t qos = kQosDefault) {
    std::array<std::byte, 256> buffer;
    MetadataWriter writer(buffer);
    writer.service(service);
    const auto id = dialer.session.open_stream(
        StreamKind::call, 0, {.metadata = *writer.finish(), .qos = qos}, /*user=*/7);
    return id.value_or(0);
  }

  // Makes the acceptor answer every request with its own payload.
  void echo() {
    acceptor.on_event = [this](const Event& event) {
      if (event.type != EventType::request) return;
      (void)acceptor.session.send_response(event.stream, event.correlation,
                                           {.payload = event.payload});
      acceptor.session.consume(event.stream, event.cost);
    };
    dialer.on_event = [this](const Event& event) {
      if (event.type == EventType::response) dialer.session.consume(event.stream, event.cost);
    };
  }

  Instant now{1s};
  Side dialer;
  Side acceptor;
};

}  // namespace valkyrie::protocol::testing
