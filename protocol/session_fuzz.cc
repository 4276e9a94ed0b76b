// Feeds a session what a peer could send, in pieces that the input chooses, as either role, with a
// lively owner behind it. Finds crashes, broken invariants and memory beyond the limits.
#include "protocol/session.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "protocol/assert.h"
#include "protocol/buffer_pool.h"
#include "protocol/frame.h"
#include "protocol/hello.h"

using namespace valkyrie::protocol;

namespace {

// What the owner does with an event: answers, echoes, gives credit back, sometimes resets.
void react(Session& session, const Event& event) {
  switch (event.type) {
    case EventType::request:
      if (event.correlation % 4 != 0) {
        (void)session.send_response(event.stream, event.correlation, {.payload = event.payload});
      }
      session.consume(event.stream, event.cost);
      break;
    case EventType::data:
      if (event.correlation == 0 && !event.payload.empty()) {
        (void)session.send_data(event.stream, {.payload = event.payload});
      }
      session.consume(event.stream, event.cost);
      break;
    case EventType::publish:
      if (event.correlation % 4 == 1) {
        (void)session.send_published(event.stream, event.correlation, 1);
      }
      session.consume(event.stream, event.cost);
      break;
    case EventType::event:
    case EventType::response:
    case EventType::notify:
      session.consume(event.stream, event.cost);
      break;
    case EventType::abandoned:
    case EventType::cancel:
      if (event.kind == StreamKind::publish) {
        (void)session.send_published(event.stream, event.correlation, 0);
      } else {
        (void)session.send_response(event.stream, event.correlation, {});
      }
      break;
    case EventType::stream_opened:
      if (event.stream % 16 == 15) session.reset(event.stream, CloseCode::refused, "no");
      if (event.kind == StreamKind::subscribe) {
        for (std::uint32_t sequence = 1; sequence < 4; ++sequence) {
          (void)session.send_event(event.stream, sequence, {.payload = event.metadata.bytes()});
        }
      }
      break;
    case EventType::end:
      (void)session.send_end(event.stream);
      break;
    case EventType::ready: {
      const auto stream = session.open_stream(StreamKind::call, 0, {}, 1);
      if (stream) (void)session.send_request(*stream, {});
      const auto publish = session.open_stream(StreamKind::publish, 0, {}, 2);
      if (publish) (void)session.send_publish(*publish, {}, /*ack=*/true);
      if (publish) (void)session.send_publish(*publish, {}, /*ack=*/false);
      (void)session.open_stream(StreamKind::subscribe, kStreamOptionDropNewest, {}, 3);
      break;
    }
    default:
      break;
  }
}

void poll(Session& session) {
  while (const Event* event = session.poll_event()) react(session, *event);
}

// A hello that opens the session, so that the rest of the input is looked at.
void greet(Session& session, Role role, Instant now) {
  std::vector<std::byte> bytes(kHeaderBytes + kHelloBytes);
  const auto body = std::span(bytes).subspan(kHeaderBytes);
  const bool dials = role == Role::acceptor;
  const std::size_t size =
      dials ? *encode_hello({}, Grease::no, body) : *encode_hello_ack({}, Grease::no, body);
  encode_header({.type = dials ? FrameType::hello : FrameType::hello_ack,
                 .body_bytes = static_cast<std::uint32_t>(size)},
                std::span(bytes).first<kHeaderBytes>());
  session.receive(std::span(bytes).first(kHeaderBytes + size), now);
  poll(session);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Role role = (data[0] & 1) != 0 ? Role::acceptor : Role::dialer;
  const std::size_t piece = (data[0] & 4) != 0 ? 1u + data[1] : 65536u;
  Instant now{std::chrono::seconds(1)};
  SessionConfig config;
  config.limits.held_bytes_max = 256 * 1024;
  config.limits.queued_bytes_max = 256 * 1024;
  BufferPool pool;
  {
    Session session(role, config, pool, now);
    if ((data[0] & 2) != 0) greet(session, role, now);
    auto input = std::as_bytes(std::span(data, size)).subspan(2);
    std::array<std::span<const std::byte>, 8> pieces;
    while (!input.empty() && !session.closed()) {
      const std::size_t part = std::min(piece, input.size());
      session.receive(input.first(part), now);
      poll(session);
      input = input.subspan(part);
      VALKYRIE_ASSERT(session.held_bytes() <= config.limits.held_bytes_max + 128 * 1024);
      if ((data[0] & 8) != 0) continue;  // The peer reads nothing.
      std::size_t bytes = 0;
      const std::size_t count = session.gather(pieces, 64 * 1024);
      for (std::size_t i = 0; i < count; ++i) bytes += pieces[i].size();
      session.written(bytes, now);
      now += std::chrono::milliseconds(100);
    }
    session.receive_eof(now);
    poll(session);
    VALKYRIE_ASSERT(session.requests_in_flight() == 0);
  }
  VALKYRIE_ASSERT(pool.in_use() == 0);
  return 0;
}
