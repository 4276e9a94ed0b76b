#include "server/job_store/store_state.h"

#include <cstdlib>
#include <fmt/format.h>

namespace valkyrie::job_store {

void Bell::ring() {
  {
    const std::lock_guard lock(mutex_);
    ringing_ = true;
  }
  rung_.notify_one();
}

void Bell::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  rung_.notify_one();
}

bool Bell::is_closed() {
  const std::lock_guard lock(mutex_);
  return closed_;
}

bool Bell::wait(std::optional<std::chrono::milliseconds> most) {
  std::unique_lock lock(mutex_);
  const auto over = [this] { return ringing_ || closed_; };
  if (most) {
    rung_.wait_for(lock, *most, over);
  } else {
    rung_.wait(lock, over);
  }
  ringing_ = false;
  return !closed_;
}

Gate::Pass Gate::write() {
  std::unique_lock lock(mutex_);
  moved_.wait(lock, [this] { return !held_ && !tidier_waits_; });
  held_ = true;
  return Pass(*this);
}

Gate::Pass Gate::tidy() {
  std::unique_lock lock(mutex_);
  tidier_waits_ = true;
  moved_.wait(lock, [this] { return !held_; });
  tidier_waits_ = false;
  held_ = true;
  return Pass(*this);
}

void Gate::leave() {
  {
    const std::lock_guard lock(mutex_);
    held_ = false;
  }
  moved_.notify_all();
}

void StoreState::fail(std::string_view what) const {
  options.log(fmt::format(
      "the job store cannot go on, and the node stops, since what it would promise from here on "
      "could be lost: {}",
      what));
  std::abort();
}

void StoreState::fail(std::string_view what, const SqlError& error) const {
  fail(fmt::format("{}: {} (SQLite {}, errno {})", what, error.text, error.code, error.system));
}

}  // namespace valkyrie::job_store
