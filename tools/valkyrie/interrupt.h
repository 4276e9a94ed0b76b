// Ctrl-C and TERM as something to wait for.
#pragma once

#include "valkyrie/options.h"

namespace valkyrie::tools {

// While it lives, SIGINT and SIGTERM do not end the process but are noted here; a second one does
// end it. One at a time in a process; make it before starting threads that matter.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Waits until a signal has come or `time` is over; true for a signal.
  [[nodiscard]] bool wait_for(Duration time) const;
  // Waits until a signal has come (true) or wake() is called.
  [[nodiscard]] bool wait() const;
  // Ends every wait() from now on. Any thread.
  void wake() const;
  // Readable once a signal has come or wake() was called, to be polled beside others. Not to be
  // read.
  [[nodiscard]] int fd() const;
  // True once a signal has come.
  [[nodiscard]] bool requested() const;
};

}  // namespace valkyrie::tools
