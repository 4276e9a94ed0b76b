#include "server/jobs/job_store.h"

#include <utility>

#include "protocol/assert.h"

namespace valkyrie::jobs {

void MemoryJobStore::insert(JobRecord record) {
  const JobId id = record.id;
  const bool added = records_.emplace(id, std::move(record)).second;
  VALKYRIE_ASSERT(added);
}

StoreAnswer MemoryJobStore::update(const JobId& id, std::uint64_t token, JobStatus status) {
  const auto found = records_.find(id);
  if (found == records_.end() || found->second.status.token != token) return StoreAnswer::stale;
  found->second.status = std::move(status);
  return StoreAnswer::done;
}

void MemoryJobStore::remove(const JobId& id) { records_.erase(id); }

const JobRecord* MemoryJobStore::find(const JobId& id) const {
  const auto found = records_.find(id);
  return found == records_.end() ? nullptr : &found->second;
}

void MemoryJobStore::visit(const JobIdRange& range,
                           const std::function<bool(const JobRecord&)>& visit) const {
  for (auto at = records_.upper_bound(range.last); at != records_.begin();) {
    --at;
    if (at->first < range.first || !visit(at->second)) return;
  }
}

}  // namespace valkyrie::jobs
