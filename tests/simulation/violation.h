// How the simulator says that the node broke a promise.
#pragma once

#include <fmt/format.h>
#include <stdexcept>
#include <utility>

namespace valkyrie::simulation {

// A broken invariant. Thrown where it is seen; whoever runs the world prints it with the seed.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws a Violation unless `holds`.
template <class... Args>
void require(bool holds, fmt::format_string<Args...> text, Args&&... args) {
  if (!holds) throw Violation(fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace valkyrie::simulation
