// How well this machine lets the runner fence an attempt, and the start of the process that is the
// attempt's root. docs/spec/jobs.md, "Isolation".
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string_view>
#include <sys/types.h>
#include <system_error>

namespace valkyrie::runner {

// What an attempt runs in. A PID namespace dies with its first process, whatever the others do; a
// tree without one can only be searched for.
enum class Fence : std::uint8_t {
  none,             // A process group; orphans come to the root as their subreaper.
  namespaces,       // Own PID, mount and IPC namespaces.
  user_namespaces,  // The same inside an own user namespace, for a runner without privileges.
};

// The word a runner advertises: `namespace` or `none`.
[[nodiscard]] std::string_view isolation_of(Fence fence);

// Whether this process may build that fence, found by building one. Call it while the process has
// one thread.
[[nodiscard]] bool fence_holds(Fence fence);

// The strongest fence that holds. As fence_holds.
[[nodiscard]] Fence strongest_fence();

// The root of an attempt.
struct Root {
  pid_t pid = -1;
  int pidfd = -1;  // Owned by the caller; readable once the root is dead.
};

// Starts a child that runs `body` as the attempt's root and exits with what it returns. It dies
// with the caller, and in a namespace all of the attempt dies with it. REQUIRES: one thread.
[[nodiscard]] std::expected<Root, std::error_code> start_root(Fence fence,
                                                              const std::function<int()>& body);

}  // namespace valkyrie::runner
