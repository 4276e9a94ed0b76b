// The jobs of a world.
#include <algorithm>

#include "tests/simulation/violation.h"
#include "tests/simulation/world.h"

namespace valkyrie::simulation {
namespace {

constexpr std::uint32_t kZones = 2;

}  // namespace

Submitter& World::start_submitter() {
  submitters_.push_back(&add_program<Submitter>("a submitter"));
  return *submitters_.back();
}

// Under a new name, or as one that has lost its connection and comes back.
void World::start_worker(const std::string& name) {
  Worker& worker = add_program<Worker>("a runner");
  workers_.push_back(&worker);
  worker_names_[&worker] = name;
  for (int i = 0; i < 100 && !worker.closed() && !worker.wire().near.ready(); ++i) {
    network_.run_for(50ms);
  }
  const std::uint64_t most =
      std::min<std::uint64_t>(bytes_left_, chance(3) ? bytes_left_ / 2 : 5000);
  bytes_left_ -= most / 2;
  worker.join(name, 1 + static_cast<std::uint32_t>(pick(3)), std::to_string(pick(kZones)), most);
}

void World::act_on_jobs() {
  if (submitters_.empty()) return;
  Submitter& submitter = *submitters_[pick(submitters_.size())];
  const std::uint64_t dice = pick(8);
  if (dice < 5) {
    if (submitter.closed() || submitter.draining()) return;
    const std::string require = calm() || chance(2) ? "" : "zone=" + std::to_string(pick(kZones));
    return submitter.submit(require, calm());
  }
  if (perils_.giving_up && dice == 5) {
    if (!chance(3)) return submitter.cancel_any(Duration(1ms) * pick(2000));
    return submitter.leave_any(chance(2));
  }
  if (perils_.flaps && dice == 6) {
    workers_[pick(workers_.size())]->offer_slots(static_cast<std::uint32_t>(pick(4)));
  }
}

// Runners end what they have; what no runner takes is cancelled.
void World::end_jobs() {
  for (Worker* worker : workers_) {
    worker->offer_slots(4);
    worker->hurry();
  }
  network_.run_for(3s);
  for (Submitter* submitter : submitters_) {
    if (!submitter->closed()) submitter->cancel_all();
  }
}

void World::check_jobs() {
  book_.check_all_over();
  const jobs::JobPlaneCounts counts = jobs_.plane().counts();
  std::size_t joined = 0;
  for (const auto& program : programs_) {
    const auto* worker = dynamic_cast<const Worker*>(program.get());
    if (worker != nullptr && worker->joined()) ++joined;
  }
  require(counts.live == 0 && counts.queued == 0, "{} jobs live, {} wait", counts.live,
          counts.queued);
  require(counts.slots_busy == 0, "{} slots are busy with nothing", counts.slots_busy);
  require(counts.runners == joined, "{} runners are known, {} live", counts.runners, joined);
  require(counts.submitted == counts.ended, "{} jobs were submitted, {} ended", counts.submitted,
          counts.ended);
}

}  // namespace valkyrie::simulation
