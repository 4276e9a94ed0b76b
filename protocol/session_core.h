// The state behind Session. Private to this folder. One file of functions per concern:
//   session_receive.cc   bytes to frames, the order of checks, dispatch
//   session_straight.cc  usual requests and responses as they arrive, in one step
//   session_messages.cc  message frames: fragments, requests, responses, data
//   session_publish.cc   publish/subscribe: what it sends, answers and turns down
//   session_control.cc   STREAM_OPEN, END, RESET, CANCEL, CREDIT, STREAM_LIMIT, PING, GOAWAY
//   session_hello.cc     HELLO and HELLO_ACK, AUTH and AUTH_OK
//   session_send.cc      what the owner sends; messages that wait for credit
//   session_end.cc       the ends of requests, streams and the session, as events
//   session_windows.cc   windows that grow to what the path holds
//   session_timers.cc    handshake, keepalive, drain and stall
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "protocol/control_budget.h"
#include "protocol/fifo.h"
#include "protocol/frame.h"
#include "protocol/frame_body.h"
#include "protocol/output_meter.h"
#include "protocol/output_queue.h"
#include "protocol/output_room.h"
#include "protocol/request_table.h"
#include "protocol/session.h"
#include "protocol/stream_table.h"

namespace valkyrie::protocol {

struct HelloOptions;

// Not for owners: see Session.
class SessionCore {
 public:
  SessionCore(Role role, SharedSessionConfig config, BufferPool& pool, Instant now);
  ~SessionCore() {
    if (config.meter != nullptr) config.meter->forget(output);
  }
  SessionCore(const SessionCore&) = delete;
  SessionCore& operator=(const SessionCore&) = delete;

  void receive(std::span<const std::byte> bytes, Instant now,
               const std::shared_ptr<const void>* owner);
  void receive_eof(Instant now);
  const Event* poll_event();
  [[nodiscard]] std::shared_ptr<const void> payload_owner() const;

  std::expected<std::uint32_t, SendError> open_stream(StreamKind kind, std::uint8_t options,
                                                      const Outgoing& open, std::uint64_t user);
  std::expected<Sent, SendError> send_request(std::uint32_t id, const Outgoing& request);
  std::expected<Sent, SendError> send_notify(std::uint32_t id, const Outgoing& notify);
  std::expected<Sent, SendError> send_response(std::uint32_t id, std::uint32_t correlation,
                                               const Outgoing& response);
  std::expected<Sent, SendError> send_publish(std::uint32_t id, const Outgoing& message, bool ack);
  std::expected<void, SendError> send_published(std::uint32_t id, std::uint32_t correlation,
                                                std::uint8_t level,
                                                std::span<const std::byte> metadata);
  std::expected<Sent, SendError> send_event(std::uint32_t id, std::uint32_t sequence,
                                            const Outgoing& event);
  std::expected<Sent, SendError> send_data(std::uint32_t id, const Outgoing& data, bool more);
  std::expected<void, SendError> send_end(std::uint32_t id, std::span<const std::byte> metadata);
  [[gnu::noinline]] void reset(std::uint32_t id, CloseCode code, std::string_view text);
  void cancel(std::uint32_t id, std::uint32_t correlation);
  std::expected<void, SendError> send_auth(std::span<const std::byte> credential);
  void send_auth_ok(std::uint32_t seconds_left);
  void ping(std::uint64_t token);
  void consume(std::uint32_t id, std::uint32_t bytes);
  void drain(Duration grace, Instant now);
  void close(CloseCode code, std::string_view text);
  void written(std::size_t bytes, Instant now);
  [[nodiscard]] std::optional<Instant> deadline();
  void on_deadline(Instant now);
  [[nodiscard]] SessionStats stats() const;

  Stream* find(std::uint32_t id);
  // Connection credit that bulk is to leave unused now, bytes.
  [[nodiscard]] std::uint64_t credit_to_keep() const;

  enum class State : std::uint8_t { hello, open, closed };

  // Set once.
  const Role role;
  const SharedSessionConfig shared_config;
  const SessionConfig& config;  // Of shared_config.
  OutputQueue output;
  PeerInfo peer;
  State state = State::hello;
  StreamTable streams;
  RequestTable outgoing;
  RequestTable incoming;
  std::uint64_t held = 0;  // Bytes received and not consumed, all streams.
  WaitingBytes waiting_bytes;
  WaitingBytes relayed_bytes;               // That wait too: see Outgoing::relayed,
  WaitingBytes owned_bytes;                 // and Outgoing::owner.
  Instant critical_until = Instant::min();  // It counts as one with critical frames.

  // Token of the PINGs that the session sends by itself; its PONGs are no events.
  static constexpr std::uint64_t kKeepaliveToken = 0x6B656570'616C6976;
  static constexpr std::uint64_t kProbeToken = 0x6B656570'70726F62;

 private:
  using Body = std::span<const std::byte>;

  // session_receive.cc
  void forget_delivered();
  bool next_frame();
  bool frame_from_partial();
  [[nodiscard]] bool may_flow(const FrameHeader& header) const;
  bool begin_flow(const FrameHeader& header);
  bool continue_flow();
  bool take_header(std::span<const std::byte, kHeaderBytes> bytes, FrameHeader& header);
  bool dispatch(const FrameHeader& header, Body body);
  bool dispatch_connection(const FrameHeader& header, Body body);
  bool dispatch_stream(const FrameHeader& header, Body body);
  bool on_closed_stream(const FrameHeader& header);
  std::optional<CloseCode> check_state(const FrameHeader& header, const Stream& stream) const;
  std::optional<CloseCode> charge(const FrameHeader& header, Stream* stream);
  void note_class(std::uint8_t qos) {
    if (qos_class(qos) != QosClass::critical) return;
    critical_until = now_ + kCriticalTime;
    critical_sent_ = true;
  }
  void spend_connection_credit(const FrameHeader& header);
  void return_connection_credit();
  [[nodiscard]] bool is_local(std::uint32_t id) const {
    return (id & 1) == (role == Role::dialer ? 1 : 0);
  }

  // session_straight.cc
  bool take_usual_call();
  [[gnu::always_inline]] inline bool is_usual(const FrameHeader& header, const Stream& stream,
                                              bool is_response) const;
  [[gnu::always_inline]] inline bool affords(const FrameHeader& header, const Stream& stream) const;

  // session_messages.cc
  // Whether the sender waits for an answer with the frame's correlation id.
  static bool asks(const FrameHeader& header) {
    return header.type == FrameType::request ||
           (header.type == FrameType::publish && header.correlation != 0);
  }
  struct Incoming {
    const FrameHeader& header;
    Body payload{};
    std::uint32_t cost = 0;
    bool late = false;           // A response that nobody waits for.
    bool admitted = false;       // Was put together from parts.
    bool unimplemented = false;  // Metadata has a key that must be understood and is not.
    std::uint32_t request = FlatIndex::kNone;  // Slot of the request that comes or is answered.
    MetadataView metadata{};
  };
  bool on_message(const FrameHeader& header, Body body, std::uint32_t slot);
  bool on_fragment(Incoming& message, std::uint32_t slot);
  bool on_data_fragment(Incoming& message, std::uint32_t slot);
  bool deliver_assembled(const FrameHeader& header, std::uint32_t slot);
  bool deliver(Incoming& message, std::uint32_t slot);
  bool check_correlation(Incoming& message, Stream& stream);
  bool admit(Incoming& message, std::uint32_t slot);
  void refuse(const FrameHeader& header, std::uint32_t slot, StatusCode code,
              std::string_view text);
  void answer_status(std::uint32_t slot, std::uint32_t correlation, std::uint8_t qos,
                     StatusCode code, std::string_view text);
  void take_back(Stream& stream, std::uint32_t bytes);
  void grant(Stream& stream);
  void shed_largest_holder();

  // session_publish.cc
  void refuse_published(const FrameHeader& header, std::uint32_t slot, StatusCode code,
                        std::string_view text);
  void answer_published(std::uint32_t slot, std::uint32_t correlation, std::uint8_t level,
                        Body metadata);
  bool on_published(const FrameHeader& header, Body body, std::uint32_t slot);

  // session_control.cc
  bool on_stream_open(const FrameHeader& header, Body body);
  bool on_end(const FrameHeader& header, Body body, std::uint32_t slot);
  bool on_reset(const FrameHeader& header, Body body, std::uint32_t slot);
  bool on_cancel(const FrameHeader& header, std::uint32_t slot);
  bool on_credit(const FrameHeader& header, Body body, std::uint32_t slot);
  bool on_stream_limit(Body body);
  bool on_goaway(const FrameHeader& header, Body body);
  MetadataView control_metadata(const FrameHeader& header, Body body);
  void raise_stream_limit();

  // session_hello.cc
  void send_hello();
  bool on_hello(const FrameHeader& header, Body body);
  bool on_hello_ack(const FrameHeader& header, Body body);
  bool on_auth(Body body);
  bool on_auth_ok(Body body);
  void take_options(const HelloOptions& options);
  bool become_ready();

  // session_send.cc
  void push_control(FrameType type, std::uint32_t stream, std::uint32_t correlation, Body metadata,
                    Body payload);
  void push_reset(Stream& stream, CloseCode code, std::string_view text);
  std::expected<Stream*, SendError> sendable(std::uint32_t id, StreamKind kind, bool opener,
                                             const Outgoing& message);
  std::expected<Sent, SendError> send_message(std::uint32_t slot, const FrameHeader& header,
                                              const Outgoing& message,
                                              std::uint32_t request = FlatIndex::kNone);
  std::expected<Sent, SendError> send_asking(std::uint32_t slot, FrameType type,
                                             const Outgoing& message);
  void send_answer(std::uint32_t slot, std::uint32_t correlation, std::uint8_t qos,
                   const Outgoing& answer);
  [[gnu::always_inline]] inline bool goes_at_once(const Stream& stream, std::uint8_t qos,
                                                  const Outgoing& message) const;
  [[gnu::noinline]] std::expected<Sent, SendError> wait(std::uint32_t slot,
                                                        const FrameHeader& header,
                                                        const Outgoing& message);
  static void keep(WaitingMessage& message);
  [[gnu::always_inline]] inline void push_frame(Stream& stream, FrameHeader header, Body metadata,
                                                Body payload);
  [[gnu::noinline]] void push_shared_frame(Stream& stream, FrameHeader header, Body metadata,
                                           Body payload, std::shared_ptr<const void> owner);
  [[gnu::always_inline]] inline void charge_frame(Stream& stream, FrameHeader& header,
                                                  Body metadata, Body payload);
  [[gnu::always_inline]] inline void note_pushed(Stream& stream, const FrameHeader& header);
  [[gnu::always_inline]] inline std::uint16_t lane_of(const Stream& stream, std::uint8_t qos);
  [[nodiscard]] bool pump(std::uint32_t slot);
  [[nodiscard]] bool push_part(Stream& stream, std::uint32_t slot, WaitingMessage& message);
  void pop_waiting(Stream& stream);
  void pump_blocked();
  [[nodiscard]] std::size_t part_max(std::uint8_t qos) const;
  [[gnu::noinline]] void queue_end(std::uint32_t slot, Body metadata);
  void end_if_answered(std::uint32_t slot);
  void drop_waiting(std::uint32_t slot, std::uint32_t correlation);
  // Where the bytes of a waiting message count.
  [[nodiscard]] WaitingBytes& waiting_account(bool relayed, bool owned) {
    if (owned) return owned_bytes;
    return relayed ? relayed_bytes : waiting_bytes;
  }
  [[nodiscard]] std::uint64_t output_max(std::uint8_t qos, bool relayed) const;
  [[nodiscard]] bool may_wait(const FrameHeader& header, const Outgoing& message) const;
  std::unexpected<SendError> refuse_for_room(std::uint8_t qos, std::uint64_t size);
  [[nodiscard]] bool room_for_refused() const;
  bool drop_queued(Stream& stream);
  void forget_waiting(Stream& stream);
  void note_request(Stream& stream, std::uint32_t correlation, Ticket ticket, bool whole);

  // session_end.cc
  bool next_queued_event();
  bool report_dying();
  bool report_failed(Request& request);
  void finish_stream(std::uint32_t slot, EventType final_event, CloseCode code, bool is_local);
  void close_if_done(std::uint32_t slot);
  void release_stream(std::uint32_t slot);
  void fail_request(std::uint32_t slot, StatusCode status, CloseCode code, Outcome outcome);
  void decide_outcomes(Stream& stream, CloseCode code, std::uint32_t last_taken);
  bool fail(CloseCode code, std::string_view text = {});
  void end_session(CloseCode code, bool is_local);
  void end_call_streams();
  void close_if_drained();
  void push_goaway(CloseCode code, std::string_view text, std::uint32_t last_stream,
                   Duration grace);
  Event& begin_event(EventType type, const Stream& stream) {
    event_ = {};
    event_.type = type;
    event_.kind = stream.kind;
    event_.stream = stream.id;
    event_.user = stream.user;
    return event_;
  }

  // session_windows.cc
  void probe_round_trip();
  void on_probe_answered();
  [[nodiscard]] bool outgrown(Flow& flow, std::uint64_t total) const;
  void fit_window(Stream& stream);
  void fit_connection_window();
  void forget_window(Stream& stream);

  // session_timers.cc
  void note_stall(std::uint32_t slot);
  void end_stall(std::uint32_t slot);
  void date_stalls();
  void check_stall();
  void give_memory_back();

  Instant now_;
  // Input.
  std::span<const std::byte> input_{};
  std::vector<std::byte> partial_;
  bool partial_delivered_ = false;  // The frame in partial_ was handled; clear it.
  std::size_t skip_ = 0;            // Bytes of an ignorable frame still to come.
  std::size_t flow_left_ = 0;       // Bytes still to come of a frame of data that is delivered as
  FrameHeader flow_{};              // it comes; it has this header.
  const std::shared_ptr<const void>* input_owner_ = nullptr;
  std::unique_ptr<Assembly> delivered_;
  Event event_;
  ControlBudget control_budget_;
  ControlBudget reset_budget_;       // Of an acceptor: streams that the dialer may RESET.
  std::uint64_t credited_seen_ = 0;  // Of output.credited_frames_chosen(), already earned.
  // Connection credit, bytes since the start.
  std::uint64_t connection_received_ = 0;
  std::uint64_t connection_granted_ = 0;
  Flow connection_flow_{};
  std::uint64_t windows_grown_ = 0;  // Of all streams together.
  Duration round_trip_{};            // The least; zero: not measured.
  Instant probed_at_{};
  Instant next_probe_at_{};
  bool probing_ = false;
  std::uint64_t connection_send_granted_ = 0;
  std::uint32_t peer_connection_credit_ = 0;  // What it has granted at first.
  bool critical_sent_ = false;                // Since a call that brought a time.
  std::uint32_t body_max_ = 0;                // Longest body the peer takes.
  std::uint32_t peer_stream_credit_ = 0;      // What its streams begin with.
  // Stream ids.
  std::uint64_t next_local_id_;
  std::uint32_t highest_remote_id_ = 0;
  std::uint32_t local_id_max_ = 0;
  std::uint64_t remote_id_max_;
  std::uint32_t remote_ids_freed_ = 0;
  bool stream_limit_hit_ = false;  // open_stream() was refused since the last STREAM_LIMIT.
  bool stream_limit_raised_ = false;
  std::uint32_t goaway_last_stream_ = 0xFFFFFFFF;
  // Ends to report.
  bool attention_ = false;  // next_queued_event() may have something.
  Fifo<std::uint32_t> dying_;
  Fifo<Request> failed_;
  std::unique_ptr<WaitingMessage> flushed_;
  WaitingMessage* flushed_last_ = nullptr;
  Fifo<std::uint32_t> blocked_;
  // What was refused for want of room since EventType::room: the most urgent and the shortest.
  struct Refused {
    std::uint8_t qos;
    std::uint64_t size;
  };
  std::optional<Refused> refused_;
  CloseCode close_code_ = CloseCode::none;
  bool close_local_ = false;
  bool close_reported_ = false;
  std::uint32_t credentials_shown_ = 0;    // By a dialer, and not answered by AUTH_OK.
  std::vector<std::byte> final_metadata_;  // Of the GOAWAY, for the closed event.
  // Time.
  Instant started_at_;
  Instant received_at_;
  Instant ping_at_;
  std::optional<Instant> blocked_since_;  // The channel has taken nothing since.
  std::optional<Instant> drain_until_;
  bool peer_draining_ = false;
  std::uint32_t stall_first_ = FlatIndex::kNone;
  std::uint32_t stall_last_ = FlatIndex::kNone;
  SessionStats stats_;

  friend class Session;
};

}  // namespace valkyrie::protocol
