#include "valkyrie/loop.h"

#include <utility>

#include "sdk/cpp/src/event_loop.h"

namespace valkyrie {

Loop::Loop(std::shared_ptr<detail::EventLoop> state) noexcept : state_(std::move(state)) {}
Loop::Loop(Loop&&) noexcept = default;
Loop& Loop::operator=(Loop&&) noexcept = default;
Loop::~Loop() = default;

Result<Loop> Loop::create() {
  auto state = detail::EventLoop::create(std::this_thread::get_id());
  if (!state) return std::unexpected(std::move(state.error()));
  return Loop(std::move(*state));
}

void Loop::run() { state_->run(); }

void Loop::stop() { state_->stop(); }

void Loop::turn(Duration max_wait) { state_->turn(max_wait); }

int Loop::fd() const noexcept { return state_->reactor().fd(); }

Duration Loop::prepare_wait() { return state_->reactor().prepare_wait(); }

}  // namespace valkyrie
