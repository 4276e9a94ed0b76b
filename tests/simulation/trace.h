// What happened in a world, line by line, where someone asked for it.
#pragma once

#include <chrono>
#include <cstdio>
#include <fmt/format.h>
#include <utility>

#include "protocol/time.h"

namespace valkyrie::simulation {

// Prints to standard output, or does nothing.
class Trace {
 public:
  explicit Trace(bool enabled) : enabled_(enabled) {}

  // A line with the world's time.
  template <class... Args>
  void line(protocol::Instant now, fmt::format_string<Args...> text, Args&&... args) const {
    if (!enabled_) return;
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
    fmt::print("{:>12.3f} ms  {}\n", static_cast<double>(us.count()) / 1000.0,
               fmt::format(text, std::forward<Args>(args)...));
  }

 private:
  bool enabled_;
};

}  // namespace valkyrie::simulation
