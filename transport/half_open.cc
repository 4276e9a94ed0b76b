#include "transport/half_open.h"

#include <utility>

#include "protocol/assert.h"
#include "transport/connection.h"

namespace valkyrie::transport {

void HalfOpenConnections::add(Connection& connection) {
  VALKYRIE_ASSERT(max_ > 0);
  if (size_ == max_) {
    ++evicted_;
    oldest_->finish({.cause = CloseCause::half_open_limit, .local = true});
  }
  connection.older_ = newest_;
  (newest_ != nullptr ? newest_->newer_ : oldest_) = &connection;
  newest_ = &connection;
  ++size_;
}

void HalfOpenConnections::remove(Connection& connection) {
  Connection* const older = std::exchange(connection.older_, nullptr);
  Connection* const newer = std::exchange(connection.newer_, nullptr);
  (older != nullptr ? older->newer_ : oldest_) = newer;
  (newer != nullptr ? newer->older_ : newest_) = older;
  --size_;
}

}  // namespace valkyrie::transport
