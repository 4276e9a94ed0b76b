// The bound on accepted connections that have not said hello.
#pragma once

#include <cstddef>
#include <cstdint>

namespace valkyrie::transport {

class Connection;

// The connections of one shard that are between accept(2) and the end of their hello, oldest
// first. When there are too many, the oldest is closed: an honest peer needs milliseconds, so a
// crowd of silent ones can neither fill the node nor keep others out. One thread.
class HalfOpenConnections {
 public:
  // `max` is how many are kept. REQUIRES: max > 0
  explicit HalfOpenConnections(std::size_t max) : max_(max) {}
  HalfOpenConnections(const HalfOpenConnections&) = delete;
  HalfOpenConnections& operator=(const HalfOpenConnections&) = delete;

  // How many there are now.
  [[nodiscard]] std::size_t size() const { return size_; }
  // How many were closed to make room, since the start.
  [[nodiscard]] std::uint64_t evicted() const { return evicted_; }

 private:
  friend class Connection;

  void add(Connection& connection);
  void remove(Connection& connection);

  const std::size_t max_;
  std::size_t size_ = 0;
  std::uint64_t evicted_ = 0;
  Connection* oldest_ = nullptr;
  Connection* newest_ = nullptr;
};

}  // namespace valkyrie::transport
