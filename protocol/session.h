// One peer's side of a Valkyrie connection: hello, streams, calls, credit, scheduling, keepalive,
// drain and close. Layouts and rules: docs/spec/session.md, streams.md, flow-control.md,
// scheduling.md.
//
// Sans-IO: no socket, clock, thread or log. The caller owns those and loops:
//
//   session.receive(bytes_read, now);
//   while (const Event* event = session.poll_event()) { ... session.send_response(...) ... }
//   n = writev(session.gather(pieces, budget)); session.written(n, now);
//   sleep until session.deadline(); session.on_deadline(now); poll events again
//
// What a peer sends can at worst end the connection with a CloseCode; it never aborts and never
// makes the session hold more than its SessionLimits. A broken precondition of the caller aborts.
//
// Not thread-safe: one thread owns a session and the BufferPool it was given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/event.h"
#include "protocol/limits.h"
#include "protocol/time.h"

namespace valkyrie::protocol {

class BufferPool;
class SessionCore;

// The dialer opened the connection and odd streams; the acceptor opens even ones.
enum class Role : std::uint8_t { dialer, acceptor };

// Why a send was not taken. Nothing was queued and nothing changed.
enum class SendError : std::uint8_t {
  not_ready,      // Before the hello is done. Wait for EventType::ready.
  draining,       // The peer or this side drains: open nothing new here, go elsewhere.
  closed,         // The session or the stream is over, or this side has sent END or RESET.
  stream_limit,   // The peer allows no further stream now. Wait for EventType::room.
  exhausted,      // Stream or correlation ids are used up: take another session or stream.
  too_large,      // Over the peer's message limit or the metadata limit.
  queue_full,     // As much waits for the peer as its class may. Wait for EventType::room.
  in_flight_max,  // As many requests as the peer takes are unanswered. Wait for a response.
  forbidden,      // The class is above the ceiling that HELLO_ACK stated.
  unknown,        // No such request outstanding: it was answered, or is over.
};

// The word for logs and errors.
[[nodiscard]] std::string_view to_string(SendError error);

// A message that was taken. `waiting` means that it stands behind missing credit or a full queue:
// its bytes stay with the session, and EventType::flushed follows when the last of them was
// scheduled. Without `waiting` no event follows.
struct Sent {
  std::uint32_t correlation = 0;  // Of a request, acknowledged message or event, else 0.
  bool waiting = false;
};

// Bytes. A payload of this size on is not copied where somebody keeps it: below, a copy is cheaper.
inline constexpr std::size_t kSharedPayloadBytes = 16u << 10;

// A message to send. Everything is copied before the call returns, unless it has an owner.
struct Outgoing {
  std::span<const std::byte> metadata{};  // As MetadataWriter encodes it.
  std::span<const std::byte> payload{};
  std::uint8_t qos = kQosDefault;  // Class and urgency. For a response the request's counts.
  std::uint64_t cookie = 0;        // Comes back in response, request_failed and flushed events.
  // Data of a stream that is passed on for a peer whose own credit bounds it: it may wait beyond
  // queued_bytes_max, up to its room in held_bytes_max, and what waits so is in nobody else's way.
  bool relayed = false;
  // Keeps metadata and payload alive and unchanged, so that a long payload is not copied. If it
  // must wait: that of an event is not copied either, and whoever shares it bounds its memory;
  // data counts as if it were, and is copied where much that is relayed waits already.
  std::shared_ptr<const void> owner{};
};

// Counters since the start, for metrics and tests.
struct SessionStats {
  std::uint64_t frames_received = 0;
  std::uint64_t frames_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t late_answers = 0;      // Dropped: the request was no longer outstanding.
  std::uint64_t skipped_frames = 0;    // Ignorable types 0xC0-0xFF.
  std::uint64_t refused_messages = 0;  // Requests answered RESOURCE_EXHAUSTED by the session.
};

// One side of a connection, from the hello to the last byte; the top of this file says how to drive
// it.
class Session {
 public:
  // Keeps a reference to `pool`, which must outlive the session. A dialer has its HELLO to gather
  // at once. `now` may have any monotonic origin.
  Session(Role role, SharedSessionConfig config, BufferPool& pool, Instant now);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Gives the session what was read. `bytes` and `owner`, which keeps them if it is not null, are
  // borrowed until poll_event() returns nullptr.
  // REQUIRES: poll_event() has returned nullptr since the last receive().
  void receive(std::span<const std::byte> bytes, Instant now,
               const std::shared_ptr<const void>* owner = nullptr);
  // The connection is gone (EOF or an I/O error). All that is outstanding ends in events, the last
  // of them EventType::closed.
  void receive_eof(Instant now);
  // The next event, or nullptr when all that was received is handled. The event and what it
  // borrows are valid until the next poll_event(). The session may be used meanwhile.
  const Event* poll_event();
  // What keeps the payload of the last event, if it is long enough to be shared rather than copied
  // and somebody does; else nullptr.
  [[nodiscard]] std::shared_ptr<const void> payload_owner() const;

  // Opens a stream. `user` comes back in every event of the stream. The frame costs connection
  // credit only, so it never waits for stream credit.
  // Errors: not_ready, draining, closed, stream_limit, exhausted, too_large, queue_full, forbidden.
  std::expected<std::uint32_t, SendError> open_stream(StreamKind kind, std::uint8_t options,
                                                      const Outgoing& open, std::uint64_t user);
  // Attaches `user` to a stream of the peer. Ignored if the stream is over.
  void set_user(std::uint32_t stream, std::uint64_t user);
  // Attaches `cookie` to a request of the peer, for its cancel and abandoned events. False if the
  // request is over.
  bool set_cookie(std::uint32_t stream, std::uint32_t correlation, std::uint64_t cookie);

  // Sends a request on a `call` stream of this side. Exactly one response or request_failed event
  // with the cookie follows, whatever happens.
  std::expected<Sent, SendError> send_request(std::uint32_t stream, const Outgoing& request);
  // Sends a message that is never answered, on a `call` stream of this side.
  std::expected<Sent, SendError> send_notify(std::uint32_t stream, const Outgoing& notify);
  // Answers a request of the peer. `unknown`: it was answered before or is over; drop the answer.
  // `queue_full`: it is still to be answered; who cannot wait resets the stream.
  std::expected<Sent, SendError> send_response(std::uint32_t stream, std::uint32_t correlation,
                                               const Outgoing& response);
  // Sends a message on a `publish` stream of this side. With `ack` exactly one published or
  // request_failed event with the cookie follows, whatever happens, and until then it counts as a
  // request in flight. Without, nothing follows.
  std::expected<Sent, SendError> send_publish(std::uint32_t stream, const Outgoing& message,
                                              bool ack);
  // Answers a publish event that has a correlation: the level that was reached, or 0 and a STATUS
  // in `metadata`. `unknown`: it was answered before or is over; drop the answer.
  std::expected<void, SendError> send_published(std::uint32_t stream, std::uint32_t correlation,
                                                std::uint8_t level,
                                                std::span<const std::byte> metadata = {});
  // Sends a message on a `subscribe` stream of the peer, with its number in the subscription.
  // Without an owner it is taken only if it can go at once (`queue_full`), with one it may wait.
  std::expected<Sent, SendError> send_event(std::uint32_t stream, std::uint32_t sequence,
                                            const Outgoing& event);
  // Sends a message, or with `more` a part of one, on a `stream` stream.
  std::expected<Sent, SendError> send_data(std::uint32_t stream, const Outgoing& data,
                                           bool more = false);
  // Ends this side's direction after all that was sent before. `metadata` may carry STATUS where
  // the peer opened the stream and its kind is `stream`.
  std::expected<void, SendError> send_end(std::uint32_t stream,
                                          std::span<const std::byte> metadata = {});
  // Ends both directions now and drops what is queued on the stream. This side's unanswered
  // requests fail, the peer's are abandoned. Ignored if the stream is over.
  void reset(std::uint32_t stream, CloseCode code, std::string_view text = {});
  // Asks the peer to give up a request of this side; its response still comes. A request of which
  // not every byte has left fails at once, not executed. Idempotent; ignored if it is over. A
  // published message whose first byte has left cannot be given up: nothing happens.
  void cancel(std::uint32_t stream, std::uint32_t correlation);
  // Shows the acceptor a new credential, 1 to 8,192 bytes; auth_ok follows, or the session ends.
  // REQUIRES: this is the dialer. Errors: not_ready, closed, too_large.
  std::expected<void, SendError> send_auth(std::span<const std::byte> credential);
  // Says that a credential, of an auth event or of the hello, holds for so many seconds;
  // AuthOkBody::kNoEnd: it has no end. REQUIRES: this is the acceptor, and it is ready.
  void send_auth_ok(std::uint32_t seconds_left);
  // Sends PING; EventType::pong brings the token back.
  void ping(std::uint64_t token);

  // Returns stream credit for `bytes` of Event::cost once they were taken in or passed on. Ignored
  // if the stream is over.
  void consume(std::uint32_t stream, std::uint32_t bytes);

  // Starts an orderly end: GOAWAY(draining); what runs is answered; closed follows when no stream
  // is left or `grace` is over. A second call may only shorten the grace.
  void drain(Duration grace, Instant now);
  // Ends the session at once; GOAWAY(code, text) is the last thing to gather. Idempotent.
  void close(CloseCode code, std::string_view text = {});

  // Chooses frames by class, urgency and credit, as long as fewer than `budget` bytes are chosen
  // and unwritten, and describes all unwritten bytes. Returns how many pieces were filled. They
  // stay valid until the next gather() or written().
  std::size_t gather(std::span<std::span<const std::byte>> pieces, std::size_t budget);
  // The channel took the first `bytes` of what gather() described; say so also when it took none,
  // since a peer that reads nothing for the stall limit is given up.
  void written(std::size_t bytes, Instant now);
  // True if gather() would find something. Frames may be queued all the same: they lack connection
  // credit.
  [[nodiscard]] bool has_output() const;

  // When to call on_deadline(); nullopt means never.
  [[nodiscard]] std::optional<Instant> deadline() const;
  // Handshake, keepalive, drain and stall limits. Poll events and gather afterwards.
  void on_deadline(Instant now);

  // True from the ready event until the session closes.
  [[nodiscard]] bool ready() const;
  // True once nothing more will be received: write what gather() still gives, then close.
  [[nodiscard]] bool closed() const;
  // The most urgent class that the peer of an acceptor may ask for.
  [[nodiscard]] QosClass qos_ceiling() const;
  // What the peer said in its hello. REQUIRES: the ready event has come.
  [[nodiscard]] const PeerInfo& peer() const;
  // Stream credit left, bytes (a message costs 20 + metadata + payload); 0 if the stream is over.
  [[nodiscard]] std::uint64_t send_credit(std::uint32_t stream) const;
  // True if nothing waits on the stream and some credit is left.
  [[nodiscard]] bool writable(std::uint32_t stream) const;
  // Open streams, both sides' together.
  [[nodiscard]] std::size_t stream_count() const;
  // Unanswered requests of this side.
  [[nodiscard]] std::size_t requests_in_flight() const;
  // Bytes received and not yet consumed.
  [[nodiscard]] std::uint64_t held_bytes() const;
  // True while critical frames come and go: one did in the last kCriticalTime. Meanwhile hand the
  // channel at most kKernelUnsentCriticalBytes ahead, and do not read much at once.
  [[nodiscard]] bool critical(Instant now) const;
  // Bytes of frames that are scheduled, and so follow each other by class, and not yet written.
  [[nodiscard]] std::uint64_t scheduled_bytes() const;
  // The same, with the messages that wait for stream credit or room.
  [[nodiscard]] std::uint64_t queued_bytes() const;
  [[nodiscard]] SessionStats stats() const;

 private:
  std::unique_ptr<SessionCore> core_;
};

}  // namespace valkyrie::protocol
