// The streams of a client: those it opened, and those of either side that wait for room. Private to
// this folder.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "valkyrie/client.h"
#include "valkyrie/stream.h"

namespace valkyrie::detail {

class Streams {
 public:
  explicit Streams(Core& core) : core_(core) {}

  // Any thread.
  [[nodiscard]] StreamHandle open(Target target, const CallOptions& options);

  // All below on the loop.
  void add(OpenedStream& stream);
  void remove(const OpenedStream& stream);
  void cancel(std::uint64_t id);
  // Calls advance() of the stream when there is a connection, or room in it again.
  void wait_for_room(StreamSide& side);
  void forget(StreamSide& side);
  // Lets those that wait go on, after a new connection or new room in it.
  void advance();
  // Ends all that were opened here as cancelled.
  void end_all();
  // Streams opened here that are not over.
  [[nodiscard]] std::size_t open_count() const { return streams_.size(); }

 private:
  Core& core_;
  std::atomic<std::uint64_t> ids_{0};
  std::unordered_map<std::uint64_t, OpenedStream*> streams_;  // Those that are not over.
  StreamSide* first_waiting_ = nullptr;
  StreamSide* last_waiting_ = nullptr;
  std::size_t waiting_ = 0;
};

}  // namespace valkyrie::detail
