#include "server/registry/flap_budget.h"

#include <algorithm>

namespace valkyrie::registry {

bool FlapBudget::take(const std::string& key, protocol::Instant now) {
  if (full_at_.size() >= sweep_at_) forget_full(now);
  const auto bucket = full_at_.try_emplace(key, now).first;
  const protocol::Instant full = std::max(bucket->second, now) + interval_;
  if (full - now > interval_ * burst_) return false;
  bucket->second = full;
  return true;
}

// Twice as many have to come before it is done again: a constant cost for each.
void FlapBudget::forget_full(protocol::Instant now) {
  std::erase_if(full_at_, [&](const auto& entry) { return entry.second <= now; });
  sweep_at_ = std::max<std::size_t>(1024, 2 * full_at_.size());
}

}  // namespace valkyrie::registry
