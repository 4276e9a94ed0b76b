// Assertion of our own invariants, in every build type. Never applied to what a peer sent.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace valkyrie::protocol {

// Prints "FILE:LINE: broken invariant: EXPRESSION" to standard error and aborts. Called by
// VALKYRIE_ASSERT only.
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_assertion(const char* file, int line,
                                                                  const char* expression) {
  std::fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, expression);
  std::abort();
}

}  // namespace valkyrie::protocol

// Aborts the process unless `condition` holds: only for what can be false through a defect of ours.
#define VALKYRIE_ASSERT(condition)                                          \
  do {                                                                      \
    if (!(condition)) [[unlikely]] {                                        \
      ::valkyrie::protocol::fail_assertion(__FILE__, __LINE__, #condition); \
    }                                                                       \
  } while (false)
