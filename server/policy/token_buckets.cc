#include "server/policy/token_buckets.h"

#include <algorithm>

namespace valkyrie::policy {

bool TokenBuckets::take(std::string_view key, protocol::Instant now) {
  if (rate_.per_second == 0) return true;
  const protocol::Duration each = protocol::Duration(std::chrono::seconds(1)) / rate_.per_second;
  protocol::Instant& full_at = buckets_.use(key, now);
  const protocol::Instant next = std::max(full_at, now) + each;
  if (next - now > each * rate_.burst) return false;
  full_at = next;
  return true;
}

}  // namespace valkyrie::policy
