// A call of many messages, both ways.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "valkyrie/bytes.h"
#include "valkyrie/pending.h"
#include "valkyrie/status.h"

namespace valkyrie {

// How a type travels as a message. Specialise it for message types: `encode` may not fail, `decode`
// gives the type or a Status.
template <class T>
struct Codec;

// The message itself.
template <>
struct Codec<Bytes> {
  // Shares `message`.
  static Bytes encode(const Bytes& message) { return message; }
  // Passes `message` on.
  static Result<Bytes> decode(Bytes message) { return message; }
};

// The message as characters.
template <>
struct Codec<std::string> {
  // Copies `message`.
  static Bytes encode(const std::string& message) { return Bytes::copy(message); }
  // Copies `message`.
  static Result<std::string> decode(const Bytes& message) { return std::string(message.text()); }
};

namespace detail {

// What a Stream holds on to; counted, any thread.
class StreamCore;
struct StreamRelease {
  void operator()(StreamCore* core) const noexcept;  // Cancels unless both sides have ended.
};
using StreamHandle = std::unique_ptr<StreamCore, StreamRelease>;

[[nodiscard]] Operation* stream_write(StreamCore& core, Bytes message);
[[nodiscard]] bool stream_try_write(StreamCore& core, Bytes message);
[[nodiscard]] Operation* stream_read(StreamCore& core);
void stream_finish(StreamCore& core) noexcept;
void stream_cancel(StreamCore& core) noexcept;

template <class I>
struct Decode<std::optional<I>> {
  static Result<std::optional<I>> from(Delivery& delivery) {
    if (!delivery.status.ok()) return std::unexpected(std::move(delivery.status));
    if (delivery.end) return std::optional<I>{};
    Result<I> message = Codec<I>::decode(delivery.owned.empty() ? Bytes::copy(delivery.payload)
                                                                : std::move(delivery.owned));
    if (!message) return std::unexpected(std::move(message.error()));
    return std::optional<I>(std::move(*message));
  }
};

}  // namespace detail

// A call that sends messages of type O and receives messages of type I, in order, once each.
// Move-only; dropping it cancels, unless both sides have ended. Any thread, but one write and one
// read at a time. It ends with its connection: then reads and writes fail with unavailable.
template <class O = Bytes, class I = Bytes>
class Stream {
 public:
  // For the library.
  explicit Stream(detail::StreamHandle core) noexcept : core_(std::move(core)) {}

  // Sends a message. Done when it is inside the credit the other side gave; wait for that before
  // the next write, and memory stays bounded. Fails when the stream is over, with its status, or
  // after finish().
  Pending<void> write(const O& message) {
    return Pending<void>(detail::stream_write(*core_, Codec<O>::encode(message)));
  }
  // Sends a message if what was written before is inside the credit. False: nothing was taken,
  // since earlier messages still wait or the stream is over.
  [[nodiscard]] bool try_write(const O& message) {
    return detail::stream_try_write(*core_, Codec<O>::encode(message));
  }
  // The next message; nullopt at a clean end; else the status with which the stream ended. Reading
  // is what gives the other side new credit.
  Pending<std::optional<I>> read() {
    return Pending<std::optional<I>>(detail::stream_read(*core_));
  }
  // Says that no message follows; reading goes on. Idempotent.
  void finish() { detail::stream_finish(*core_); }
  // Ends both directions now; what is not sent is dropped. Idempotent.
  void cancel() { detail::stream_cancel(*core_); }

 private:
  detail::StreamHandle core_;
};

}  // namespace valkyrie
