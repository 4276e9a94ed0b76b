#include "transport/clock.h"

#include <ctime>

namespace valkyrie::transport {

protocol::Instant monotonic_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return protocol::Instant{std::chrono::seconds{now.tv_sec} +
                           std::chrono::nanoseconds{now.tv_nsec}};
}

}  // namespace valkyrie::transport
