// A loop and its thread, for many clients in few threads.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tools/valkyrie/context.h"
#include "valkyrie/loop.h"

namespace valkyrie::tools {

// The clients on it end before it.
class LoopThread {
 public:
  // Starts the thread.
  explicit LoopThread(Loop loop) : loop_(std::move(loop)), thread_([this] { loop_.run(); }) {}
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;
  ~LoopThread() {
    loop_.stop();
    thread_.join();
  }

  // For ClientOptions::loop.
  [[nodiscard]] Loop& loop() { return loop_; }

 private:
  Loop loop_;
  std::thread thread_;
};

// Those of a load.
using Loops = std::vector<std::unique_ptr<LoopThread>>;

// Starts so many. The error is an exit code, already reported.
[[nodiscard]] std::expected<Loops, int> start_loops(std::uint32_t count);

}  // namespace valkyrie::tools
