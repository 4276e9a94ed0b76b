// Signals and the threads of the library. Private to this folder.
#pragma once

#include <csignal>

namespace valkyrie::detail {

// While it lives, threads that this one starts are born with all signals blocked: signals are the
// application's, and must interrupt the application's threads.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace valkyrie::detail
