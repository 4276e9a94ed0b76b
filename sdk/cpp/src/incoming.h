// A call that this client serves, from its request to its answer. Private to this folder.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "protocol/time.h"
#include "sdk/cpp/src/wire.h"
#include "valkyrie/incoming_call.h"
#include "valkyrie/metadata.h"

namespace valkyrie::detail {

class Core;
class Link;
class ServedStream;
class Serving;
struct ServedMethod;
struct Slot;

// Counted by the handles of the handler, on any thread. What is set before the handler runs is
// constant until the last of them is gone; the rest belongs to the loop or says otherwise.
class Incoming {
 public:
  explicit Incoming(Core& its_core);
  ~Incoming();
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;

  void retain() { references.fetch_add(1, std::memory_order_relaxed); }
  // The last reference gives the object back to the server, on the loop.
  void release();
  // Of its answer; empty for a success with nothing to say. Written to `buffer`. On the loop.
  [[nodiscard]] std::span<const std::byte> answer_metadata(const Status& status,
                                                           MetadataBuffer& buffer);

  Core& core;
  std::atomic<std::uint32_t> references{0};
  Serving* serving = nullptr;
  const ServedMethod* method = nullptr;
  std::optional<protocol::Instant> deadline;
  std::uint8_t qos = 0;
  std::optional<std::array<std::byte, 25>> trace;
  Metadata metadata;
  std::string idempotency_key;
  std::unique_ptr<ServedStream> served;  // Of a stream; nullptr: of a request.

  // Any thread.
  std::atomic<bool> cancelled{false};
  std::mutex mutex;
  std::optional<std::stop_source> stop;  // Guarded by mutex; made when it is asked for.
  Metadata reply_metadata;               // Guarded by mutex, and constant once there is an answer.
  std::atomic<bool> has_reply_metadata{false};

  // Of whoever has the Reply.
  bool answered = false;

  // Of the loop.
  Link* link = nullptr;
  std::uint32_t stream = 0;
  std::uint32_t correlation = 0;
  std::uint32_t cost = 0;  // Credit to return with the answer.
  bool over = false;       // Answered, or nobody waits for an answer.
  // Nobody waits, and it has its place in the session of the link with this number all the same.
  std::uint64_t abandoned_at = 0;
  bool in_handler = false;   // The handler runs on the loop now:
  bool dropped = false;      // and has dropped its reply.
  Slot* children = nullptr;  // Calls made for this one.
  Incoming* next_free = nullptr;
};

}  // namespace valkyrie::detail
