#include "server/ops/usage.h"

#include <algorithm>
#include <chrono>

#include "protocol/assert.h"

namespace valkyrie::server {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::int64_t nanoseconds(protocol::Instant now) { return now.time_since_epoch().count(); }

}  // namespace

// A bucket of one second's calls, told by the time at which it will be full again.
bool Usage::take(std::uint32_t per_second, protocol::Instant now) {
  VALKYRIE_ASSERT(per_second > 0);
  const std::int64_t at = nanoseconds(now);
  const std::int64_t cost = kSecond / per_second;
  std::int64_t full_at = full_at_.load(std::memory_order_relaxed);
  std::int64_t next = 0;
  do {
    next = std::max(full_at, at) + cost;
    if (next - at > kSecond) return false;
  } while (!full_at_.compare_exchange_weak(full_at, next, std::memory_order_relaxed));
  return true;
}

bool Usage::enter(std::uint32_t max) {
  std::uint32_t count = in_flight_.load(std::memory_order_relaxed);
  do {
    if (count >= max) return false;
  } while (!in_flight_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed));
  return true;
}

bool Usage::idle(protocol::Instant now) const {
  return in_flight_.load(std::memory_order_relaxed) == 0 &&
         full_at_.load(std::memory_order_relaxed) <= nanoseconds(now);
}

std::shared_ptr<Usage> UsageTable::of(std::string_view identity, protocol::Instant now) {
  const std::scoped_lock lock(mutex_);
  if (usages_.size() >= sweep_at_) {
    std::erase_if(usages_, [&](const auto& entry) {
      return entry.second.use_count() == 1 && entry.second->idle(now);
    });
    sweep_at_ = std::max<std::size_t>(64, usages_.size() * 2);
  }
  std::shared_ptr<Usage>& usage = usages_[std::string(identity)];
  if (usage == nullptr) usage = std::make_shared<Usage>();
  return usage;
}

std::size_t UsageTable::size() const {
  const std::scoped_lock lock(mutex_);
  return usages_.size();
}

}  // namespace valkyrie::server
