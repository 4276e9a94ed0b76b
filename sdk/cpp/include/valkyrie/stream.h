// Calls of many messages: as their caller holds them, and as their handler does.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "valkyrie/bytes.h"
#include "valkyrie/metadata.h"
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

// One side of a stream: what reads and writes go to. Any thread.
class StreamSide;
[[nodiscard]] Operation* stream_write(StreamSide& side, Bytes message);
[[nodiscard]] bool stream_try_write(StreamSide& side, Bytes message);
[[nodiscard]] Operation* stream_read(StreamSide& side);

// What a Stream holds on to.
class OpenedStream;
struct StreamRelease {
  void operator()(OpenedStream* stream) const noexcept;  // Cancels unless both sides have ended.
};
using StreamHandle = std::unique_ptr<OpenedStream, StreamRelease>;
[[nodiscard]] StreamSide& side_of(OpenedStream& stream) noexcept;
void stream_finish(OpenedStream& stream) noexcept;
void stream_cancel(OpenedStream& stream) noexcept;
[[nodiscard]] Metadata stream_metadata(const OpenedStream& stream);

// What a Reader and a Writer hold on to: a share of the call.
class Incoming;
struct IncomingRelease {
  void operator()(Incoming* incoming) const noexcept;
};
using IncomingShare = std::unique_ptr<Incoming, IncomingRelease>;
[[nodiscard]] IncomingShare share(Incoming& incoming) noexcept;
[[nodiscard]] StreamSide& side_of(Incoming& incoming) noexcept;

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
  explicit Stream(detail::StreamHandle stream) noexcept : stream_(std::move(stream)) {}

  // Sends a message. Done when it is inside the credit the other side gave; wait for that before
  // the next write, and memory stays bounded. Fails when the stream is over, with its status, or
  // after finish().
  Pending<void> write(const O& message) {
    return Pending<void>(
        detail::stream_write(detail::side_of(*stream_), Codec<O>::encode(message)));
  }
  // Sends a message if what was written before is inside the credit. False: nothing was taken,
  // since earlier messages still wait or the stream is over.
  [[nodiscard]] bool try_write(const O& message) {
    return detail::stream_try_write(detail::side_of(*stream_), Codec<O>::encode(message));
  }
  // The next message; nullopt at a clean end; else the status with which the stream ended. Reading
  // is what gives the other side new credit.
  Pending<std::optional<I>> read() {
    return Pending<std::optional<I>>(detail::stream_read(detail::side_of(*stream_)));
  }
  // Says that no message follows; reading goes on. Idempotent.
  void finish() { detail::stream_finish(*stream_); }
  // Ends both directions now; what is not sent is dropped. Idempotent.
  void cancel() { detail::stream_cancel(*stream_); }
  // What the service has sent along with its end of the call. Empty before read() has told of it.
  [[nodiscard]] Metadata metadata() const { return detail::stream_metadata(*stream_); }

 private:
  detail::StreamHandle stream_;
};

// The messages of a caller, as the handler of its stream reads them. Move-only, to any thread; one
// read at a time. It may outlive the handler's return: reads then fail.
template <class I = Bytes>
class Reader {
 public:
  // For the library.
  explicit Reader(detail::Incoming& incoming) noexcept : incoming_(detail::share(incoming)) {}

  // The next message; nullopt once the caller has ended its side; an error when the stream is over:
  // cancelled or deadline_exceeded where the caller gave up, unavailable where it is gone. Reading
  // is what gives the caller new credit: what is not read keeps it from writing.
  Pending<std::optional<I>> read() {
    return Pending<std::optional<I>>(detail::stream_read(detail::side_of(*incoming_)));
  }

 private:
  detail::IncomingShare incoming_;
};

// The messages of a handler to its caller. Move-only, to any thread; one write at a time. It may
// outlive the handler's return: writes then fail.
template <class O = Bytes>
class Writer {
 public:
  // For the library.
  explicit Writer(detail::Incoming& incoming) noexcept : incoming_(detail::share(incoming)) {}

  // Sends a message. Done when it is inside the credit the caller gave; wait for that before the
  // next write, and memory stays bounded. Fails as Reader::read() does.
  Pending<void> write(const O& message) {
    return Pending<void>(
        detail::stream_write(detail::side_of(*incoming_), Codec<O>::encode(message)));
  }
  // Sends a message if what was written before is inside the credit. False: nothing was taken,
  // since earlier messages still wait or the stream is over.
  [[nodiscard]] bool try_write(const O& message) {
    return detail::stream_try_write(detail::side_of(*incoming_), Codec<O>::encode(message));
  }

 private:
  detail::IncomingShare incoming_;
};

}  // namespace valkyrie
