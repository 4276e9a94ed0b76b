#include "sdk/cpp/src/event_loop.h"

#include <chrono>
#include <fmt/core.h>
#include <utility>

#include "protocol/assert.h"
#include "sdk/cpp/src/core.h"

namespace valkyrie::detail {
namespace {

// A turn that takes longer keeps all other callbacks waiting: it is logged.
constexpr protocol::Duration kSlowTurn = std::chrono::milliseconds{100};

}  // namespace

thread_local EventLoop* EventLoop::current_ = nullptr;

Result<std::shared_ptr<EventLoop>> EventLoop::create(
    std::thread::id owner, std::shared_ptr<transport::SkippedTime> skipped_time) {
  auto reactor = transport::Reactor::create(transport::monotonic_now, std::move(skipped_time));
  if (!reactor) {
    return fail(StatusCode::resource_exhausted, reactor.error().message(), Outcome::not_executed);
  }
  return std::make_shared<EventLoop>(std::move(*reactor), owner);
}

EventLoop::EventLoop(std::unique_ptr<transport::Reactor> reactor, std::thread::id owner)
    : reactor_(std::move(reactor)), owner_(owner) {}

void EventLoop::own() {
  owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  abandoned_.store(false, std::memory_order_relaxed);
}

bool EventLoop::mine() {
  if (turning_here()) return false;
  if (owner_.load(std::memory_order_relaxed) == std::this_thread::get_id()) return true;
  if (!abandoned_.exchange(false, std::memory_order_relaxed)) return false;
  own();
  return true;
}

bool EventLoop::try_turn(Duration max_wait) {
  const std::unique_lock turning(turning_, std::try_to_lock);
  if (!turning.owns_lock()) return false;
  turn_once(max_wait);
  return true;
}

void EventLoop::turn(Duration max_wait) {
  VALKYRIE_ASSERT(!turning_here());
  const std::lock_guard turning(turning_);
  own();
  turn_once(max_wait);
}

void EventLoop::run() {
  VALKYRIE_ASSERT(!turning_here());
  const std::lock_guard turning(turning_);
  own();
  while (!std::exchange(stop_asked_, false)) turn_once(Duration{-1});
  owner_.store({}, std::memory_order_relaxed);
  abandoned_.store(true, std::memory_order_relaxed);
}

void EventLoop::stop() {
  reactor_->post([this] { stop_asked_ = true; });
}

// The first turn brings the client, which was posted before the thread began.
void EventLoop::run_until_empty() {
  const std::lock_guard turning(turning_);
  own();
  do {
    turn_once(Duration{-1});
  } while (!cores_.empty());
  reactor_->leave_skipped_time();
  turn_once(Duration::zero());
}

void EventLoop::turn_once(Duration max_wait) {
  EventLoop* const outer = std::exchange(current_, this);
  reactor_->turn(max_wait);
  if (!asked_.empty()) {
    running_.swap(asked_);
    for (Core* core : running_) core->after_turn();
    running_.clear();
  }
  log_slow_turn();
  current_ = outer;
}

void EventLoop::log_slow_turn() {
  const protocol::Duration took = reactor_->clock_now() - reactor_->now();
  if (took < kSlowTurn || cores_.empty()) return;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
  cores_.front()->log(fmt::format("a callback or coroutine kept the loop for {} ms", ms));
}

void EventLoop::add(Core& core) { cores_.push_back(&core); }

void EventLoop::remove(Core& core) { std::erase(cores_, &core); }

}  // namespace valkyrie::detail
