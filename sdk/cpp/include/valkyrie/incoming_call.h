// A call as its handler sees it, and the duty to answer it.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "valkyrie/bytes.h"
#include "valkyrie/metadata.h"
#include "valkyrie/options.h"
#include "valkyrie/status.h"

namespace valkyrie {

namespace detail {
class Incoming;
}  // namespace detail

// How a node knows who a caller is.
enum class Proof : std::uint8_t {
  none = 0,         // It does not.
  unix_user = 1,    // The kernel's word on a Unix socket.
  noise_key = 2,    // The key of a Noise channel.
  certificate = 3,  // The certificate of a TLS channel.
  token = 4,        // A signed token.
  api_key = 5,
};

// Who a caller was proven to be by the node; no caller can say it of itself. All empty: the node
// knows no one.
struct Identity {
  std::string subject{};  // The user, service or runner: one for each way of proof.
  std::string tenant{};   // The space of names it lives in.
  Proof proof = Proof::none;
};

// A call as its handler holds it. Movable; may outlive the handler's return and be moved to another
// thread. All members may be used by any thread.
class IncomingCall {
 public:
  // For the library: owns a reference to `incoming`.
  explicit IncomingCall(detail::Incoming* incoming) noexcept : incoming_(incoming) {}
  IncomingCall(IncomingCall&& other) noexcept
      : incoming_(std::exchange(other.incoming_, nullptr)) {}
  IncomingCall& operator=(IncomingCall&& other) noexcept {
    std::swap(incoming_, other.incoming_);
    return *this;
  }
  ~IncomingCall() {
    if (incoming_ != nullptr) release();
  }

  // Who calls. Valid as long as this object.
  [[nodiscard]] const Identity& caller() const noexcept;
  // "service/method" as it was registered. Valid as long as this object.
  [[nodiscard]] std::string_view method() const noexcept;
  // Time until the caller stops caring, zero when it has; kNoDeadline if it always cares.
  [[nodiscard]] Duration remaining() const noexcept;
  // Whether the caller gave up or is gone, or its time is over. Nothing is killed: a handler that
  // takes long asks now and then.
  [[nodiscard]] bool cancelled() const noexcept;
  // Stop is requested when the caller gives up or is gone; callbacks run on the loop.
  [[nodiscard]] std::stop_token cancel_token() const;
  // What the caller sent along. Valid as long as this object.
  [[nodiscard]] const Metadata& metadata() const noexcept;
  // Sends a pair along with the answer, of a stream with its end, whether it is a success or not.
  // False if the pair breaks the rules of Metadata::add(). Without effect once the call is
  // answered.
  [[nodiscard]] bool add_metadata(std::string_view name, std::string_view value);
  // The caller's name for this call across repetitions; empty: none. Valid as long as this object.
  [[nodiscard]] std::string_view idempotency_key() const noexcept;

  // For the library.
  [[nodiscard]] detail::Incoming* incoming() const noexcept { return incoming_; }

 private:
  void release() noexcept;

  detail::Incoming* incoming_;
};

// The duty to answer one call. Movable, to any thread. The first answer counts, later ones are
// ignored; dropping it unanswered answers INTERNAL "handler dropped its reply".
class Reply {
 public:
  // For the library: owns a reference to `incoming`.
  explicit Reply(detail::Incoming* incoming) noexcept : incoming_(incoming) {}
  Reply(Reply&& other) noexcept : incoming_(std::exchange(other.incoming_, nullptr)) {}
  Reply& operator=(Reply&& other) noexcept {
    std::swap(incoming_, other.incoming_);
    return *this;
  }
  ~Reply() {
    if (incoming_ != nullptr) drop();
  }

  // Answers with `body`, which is copied. Over the caller's message limit the call ends as
  // resource_exhausted, executed.
  void send(BytesView body) noexcept;
  // Answers with a failure. REQUIRES: !status.ok()
  void fail(const Status& status) noexcept;
  // Answers with either.
  void finish(const Result<Bytes>& result) noexcept;

  // For the library: gives the reference up.
  [[nodiscard]] detail::Incoming* release() noexcept { return std::exchange(incoming_, nullptr); }

 private:
  void drop() noexcept;

  detail::Incoming* incoming_;
};

}  // namespace valkyrie
