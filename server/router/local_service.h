// A service of the node itself (valkyrie.Registry, valkyrie.Jobs, administration): how it is
// called and how it answers. Its callers reach it like any other service, from any shard.
//
// A LocalService lives on shard 0 (or, without state, one object on each shard) and is called on
// that shard's thread only. It is pure: time
// comes as an argument, answers go through the handles. Handles are small values that may be kept
// and used later on the same thread; one whose call or stream is over does nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/constants.h"
#include "protocol/metadata.h"
#include "protocol/status.h"
#include "protocol/time.h"
#include "server/policy/gate.h"

namespace valkyrie::router {

// Bytes of one message to a local service on a `stream`, put together from its parts. Over it:
// RESET too_large.
inline constexpr std::size_t kLocalMessageBytesMax = 4U << 20U;

// Bytes a local service may have under way to a peer on another shard before send() says stop.
inline constexpr std::size_t kLocalWindowBytes = 256U << 10U;

// A method of a local service: `call` is unary, `stream` takes and gives many messages.
struct LocalMethod {
  std::string_view name;
  protocol::StreamKind kind = protocol::StreamKind::call;
  // The service asks the policy itself, once it knows what for. Others need permission to be
  // called.
  bool asks_policy = false;
};

// What every shard knows about a local service. Views are of static storage.
struct LocalServiceInfo {
  std::string_view name;
  std::span<const LocalMethod> methods;
};

// Who called. The views are valid during the callback.
struct Caller {
  std::uint32_t shard = 0;               // That owns the caller's connection,
  std::uint64_t connection = 0;          // whose id there this is.
  std::string_view address;              // Of the peer, for people.
  std::string_view identity;             // Value of IDENTITY; empty: unknown.
  std::shared_ptr<policy::Gate> gate{};  // What it has to pass; null: it may do everything.
};

// What the handles below stand for; the router is one, a unit test may be another.
class LocalPort {
 public:
  // Ends a call. An ok status sends `payload`, another one its text.
  virtual void answer(std::uint64_t call, const protocol::Status& status,
                      std::span<const std::byte> payload) = 0;
  // As LocalStream's functions of the same names.
  virtual bool send(std::uint64_t stream, std::span<const std::byte> message, std::uint8_t qos) = 0;
  virtual bool writable(std::uint64_t stream) const = 0;
  virtual void consume(std::uint64_t stream, std::uint32_t bytes) = 0;
  virtual void end(std::uint64_t stream, const protocol::Status& status) = 0;
  virtual void reset(std::uint64_t stream, protocol::CloseCode code, std::string_view text) = 0;

 protected:
  ~LocalPort() = default;
};

// A unary call of a local service; answer it once, now or later.
class LocalCall {
 public:
  // Answers nothing.
  LocalCall() = default;
  // For whoever implements LocalPort.
  LocalCall(LocalPort& port, std::uint64_t id) : port_(&port), id_(id) {}

  // Unique among all calls of the node's run.
  [[nodiscard]] std::uint64_t id() const { return id_; }
  // Ends the call with a result, which is copied.
  void respond(std::span<const std::byte> payload) const {
    if (port_ != nullptr) port_->answer(id_, {}, payload);
  }
  // The same for a body as the message codecs give it.
  void respond(std::string_view payload) const { respond(std::as_bytes(std::span(payload))); }
  // Ends the call with an error; `outcome` is not_executed where nothing was done.
  void fail(protocol::StatusCode code, std::string_view text,
            protocol::Outcome outcome = protocol::Outcome::executed) const {
    if (port_ != nullptr) port_->answer(id_, {code, outcome, text}, {});
  }

 private:
  LocalPort* port_ = nullptr;
  std::uint64_t id_ = 0;
};

// A stream between a peer and a local service.
class LocalStream {
 public:
  // Does nothing.
  LocalStream() = default;
  // For whoever implements LocalPort.
  LocalStream(LocalPort& port, std::uint64_t id) : port_(&port), id_(id) {}

  // Unique among all streams of the node's run: the key under which a service keeps its state.
  [[nodiscard]] std::uint64_t id() const { return id_; }

  // Sends a message, which is copied and always taken. False means stop: it waits for the peer,
  // as will all that follow; LocalService::on_writable() comes when it went. A service that goes
  // on regardless makes the node hold what it sends.
  bool send(std::span<const std::byte> message, std::uint8_t qos = protocol::kQosDefault) const {
    return port_ != nullptr && port_->send(id_, message, qos);
  }
  // The same for a body as the message codecs give it.
  bool send(std::string_view message, std::uint8_t qos = protocol::kQosDefault) const {
    return send(std::as_bytes(std::span(message)), qos);
  }
  // True if send() would be passed on at once.
  [[nodiscard]] bool writable() const { return port_ != nullptr && port_->writable(id_); }
  // Returns credit of LocalMessage::cost, once the message was dealt with. A peer whose credit is
  // not returned stops sending: back-pressure.
  void consume(std::uint32_t bytes) const {
    if (port_ != nullptr) port_->consume(id_, bytes);
  }
  // Ends the node's direction after all that was sent. An error ends the call for the peer; it
  // may go on sending until it ENDs too, and what it sends is still given to the service.
  void end(const protocol::Status& status = {}) const {
    if (port_ != nullptr) port_->end(id_, status);
  }
  // Ends both directions now and drops what waits. No callback follows.
  void reset(protocol::CloseCode code, std::string_view text = {}) const {
    if (port_ != nullptr) port_->reset(id_, code, text);
  }

 private:
  LocalPort* port_ = nullptr;
  std::uint64_t id_ = 0;
};

// A unary request. Everything borrowed is valid during the callback.
struct LocalRequest {
  std::string_view method;
  std::span<const std::byte> payload;
  protocol::MetadataView metadata;
  std::uint8_t qos = protocol::kQosDefault;
  const Caller& caller;
};

// A stream that a peer opened. Everything borrowed is valid during the callback.
struct LocalOpen {
  std::string_view method;
  protocol::MetadataView metadata;
  std::uint8_t qos = protocol::kQosDefault;
  const Caller& caller;
};

// A whole message of a stream. Everything borrowed is valid during the callback.
struct LocalMessage {
  std::span<const std::byte> payload;
  std::uint8_t qos = protocol::kQosDefault;
  std::uint32_t cost = 0;  // Give it to LocalStream::consume() once the message is dealt with.
};

// One service. Methods it did not declare in its LocalServiceInfo, and a kind that does not match,
// are refused before they get here. `now` is the time of the turn.
class LocalService {
 public:
  virtual ~LocalService() = default;

  // A unary call: answer through `call`, at once or later.
  virtual void on_request(LocalCall call, const LocalRequest& request, protocol::Instant now);
  // The caller gave up or is gone. Work may stop; the call must still be answered.
  virtual void on_cancel(LocalCall call, protocol::Instant now);

  // A stream was opened.
  virtual void on_stream(LocalStream stream, const LocalOpen& open, protocol::Instant now);
  // A message came on a stream.
  virtual void on_message(LocalStream stream, const LocalMessage& message, protocol::Instant now);
  // After send() returned false: there is room again.
  virtual void on_writable(LocalStream stream, protocol::Instant now);
  // The peer sends no more; it still reads until the service ENDs.
  virtual void on_end(LocalStream stream, protocol::Instant now);
  // The stream is over: `none` when both sides ENDed it, else the reason of the peer's RESET or of
  // the lost connection (destination_lost where it broke off). The last callback for the stream;
  // forget it.
  virtual void on_closed(LocalStream stream, protocol::CloseCode code, protocol::Instant now);

  // The node drains and will be gone after `grace` at the latest.
  virtual void on_drain(protocol::Duration grace, protocol::Instant now);
  // When on_deadline() is to be called; nullopt means never.
  [[nodiscard]] virtual std::optional<protocol::Instant> deadline() const;
  // The time of deadline() has come.
  virtual void on_deadline(protocol::Instant now);
};

}  // namespace valkyrie::router
