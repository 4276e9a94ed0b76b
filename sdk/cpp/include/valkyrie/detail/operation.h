// What an operation in progress looks like to the templates of the public headers. Not an
// interface for users.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>

#include "valkyrie/bytes.h"
#include "valkyrie/status.h"

namespace valkyrie::detail {

class EventLoop;

// Bytes. Six pointers: what a completion may capture.
inline constexpr std::size_t kClosureBytesMax = 48;

// What an operation ends with. Valid while its completion runs.
struct Delivery {
  Status status;                 // Not ok: there is nothing else.
  BytesView payload;             // Borrowed, or a view of `owned`.
  Bytes owned;                   // Non-empty if the payload is shared already.
  bool end = false;              // Of a read: the stream is at its clean end.
  std::uint64_t number = 0;      // Of a receipt: the level. Of a publication: what was missed.
  std::shared_ptr<void> object;  // What a registration gives. Of a call: const Metadata, or null.
};

// One operation in progress, in a slot of its client's slab.
struct Operation {
  // Runs and destroys the closure; without a delivery destroys it only.
  using Run = void (*)(void* closure, Delivery* delivery) noexcept;

  alignas(std::max_align_t) std::byte closure[kClosureBytesMax];
  Run run = nullptr;
};

// Hands `closure` and `run` of the operation, just written, to the loop. The operation is no
// longer the caller's.
void attach(Operation& operation) noexcept;
// Gives up the operation, with or without an attached closure, which is destroyed unrun: asks the
// peer to cancel. With a closure: on the loop only.
void drop(Operation& operation) noexcept;
// Lets the operation go on with nobody interested in its end.
void detach(Operation& operation) noexcept;
// Ends the operation as cancelled and asks the peer to give it up.
void cancel(Operation& operation) noexcept;

// What a thread blocks on that waits for the end of an operation. The thread that turns the loop
// turns it meanwhile.
class Gate {
 public:
  // Aborts, naming the handler at fault, inside a turn of the loop that would have to end the
  // operation.
  explicit Gate(const Operation& operation) noexcept;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate();

  // Any thread, once. What it wrote before is there when wait() returns.
  void open() noexcept;
  // Blocks until open().
  void wait() noexcept;

 private:
  const std::shared_ptr<EventLoop> loop_;
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;  // Guarded by mutex_.
};

// Makes the value of type T of a delivery. Specialised beside each T.
template <class T>
struct Decode;

template <>
struct Decode<void> {
  static Result<void> from(Delivery& delivery) {
    if (!delivery.status.ok()) return std::unexpected(std::move(delivery.status));
    return {};
  }
};

template <>
struct Decode<BytesView> {
  static Result<BytesView> from(Delivery& delivery) {
    if (!delivery.status.ok()) return std::unexpected(std::move(delivery.status));
    return delivery.payload;
  }
};

template <>
struct Decode<Bytes> {
  static Result<Bytes> from(Delivery& delivery) {
    if (!delivery.status.ok()) return std::unexpected(std::move(delivery.status));
    if (!delivery.owned.empty()) return std::move(delivery.owned);
    return Bytes::copy(delivery.payload);
  }
};

}  // namespace valkyrie::detail
