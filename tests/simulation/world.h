// One world: a node, callers and services, and everything that goes wrong between them, all drawn
// from a seed. First the promises that hold while it is broken; then it is healed, and what was
// held up must go on, end once, and leave nothing behind.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/jobs/job_services.h"
#include "server/jobs/virtual_log_store.h"
#include "tests/simulation/caller.h"
#include "tests/simulation/correspondent.h"
#include "tests/simulation/observer.h"
#include "tests/simulation/responder.h"
#include "tests/simulation/submitter.h"
#include "tests/simulation/worker.h"

namespace valkyrie::simulation {

// Names of services, few, so that instances share them; and of instances, so that some supersede
// others. Two more programs meet no peril, and this is between them.
inline constexpr std::uint32_t kServices = 2;
inline constexpr std::uint32_t kInstances = 3;
inline constexpr const char* kSteadyService = "steady.Service";
inline std::string service_name(std::uint64_t index) {
  return "world.Service" + std::to_string(index);
}

// Between two who meet no peril: a few delays of links and shards, and their own haste.
inline constexpr Duration kSteadyPatience = 3s;

// More calls than ever wait at a service of a world.
inline constexpr std::uint32_t kQueueAmple = 1024;

// The node's own services.
inline constexpr std::size_t kOwnServices = 4;

// How a world is made.
struct WorldOptions {
  std::uint64_t seed = 1;
  bool traced = false;
  Damage damage;  // For canaries: what no transport may do.
};

// What happened in a world, to see that the worlds are worth their time.
struct WorldCounts {
  std::uint64_t calls = 0;
  std::uint64_t ok = 0;
  std::uint64_t maybe = 0;         // Ended with an unknown outcome.
  std::uint64_t repeats = 0;       // Of them made again.
  std::uint64_t not_executed = 0;  // Ended, and no service ever saw them.
  std::uint64_t streams = 0;
  std::uint64_t streams_ok = 0;
  std::uint64_t messages = 0;  // That came on them.
  std::uint64_t jobs = 0;
  std::uint64_t jobs_succeeded = 0;
  std::uint64_t log_bytes = 0;  // That submitters got.
  std::uint64_t published = 0;
  std::uint64_t events = 0;  // That came,
  std::uint64_t lost = 0;    // and that are known to be missing.
  std::uint64_t leaps = 0;   // Of the clock.
  std::uint64_t connections = 0;
  std::uint64_t damaged = 0;  // Pieces that `damage` hit.
};

// See the top of the file.
class World {
 public:
  explicit World(const WorldOptions& options);

  // Lives through it. Throws a Violation where a promise was broken.
  WorldCounts run();

 private:
  // What may go wrong in this world.
  struct Perils {
    bool stalls = false;     // Readers that stop, and credit that is kept.
    bool deaths = false;     // Programs that die, with or without a word.
    bool flaps = false;      // Registrations that come, change and go.
    bool manners = false;    // Services that are slow, silent or say no.
    bool giving_up = false;  // Cancels, deadlines, streams that are left.
    bool drain = false;      // The node drains half-way.
    bool leaps = false;      // The clock leaps by minutes: every silence is too long.
  };

  static std::shared_ptr<const registry::ServiceRules> draw_rules(std::uint64_t seed);
  static router::RouterConfig router_config(std::uint64_t seed,
                                            std::shared_ptr<const registry::ServiceRules> rules);
  static registry::ProbeSettings draw_probe(std::mt19937_64& random);
  void draw_perils();
  void draw_links();
  protocol::SessionLimits draw_limits();
  protocol::SessionConfig program_config();
  [[nodiscard]] std::uint64_t pick(std::uint64_t below) { return network_.random() % below; }
  [[nodiscard]] bool chance(std::uint64_t one_in) { return pick(one_in) == 0; }
  [[nodiscard]] std::uint32_t any_shard();
  [[nodiscard]] bool calm() const;
  Surroundings surroundings() {
    // A service that is slow to answer or has few places holds up those that wait for it, too.
    const bool patient = !perils_.stalls && !perils_.deaths && !perils_.manners && !perils_.flaps &&
                         !perils_.leaps && has_ample_room();
    return {network_, ledger_, book_, streams_, trace_, patient};
  }

  jobs::JobPlaneOptions job_options();
  template <class T>
  T& add_program(const char* what) {
    const auto number = static_cast<std::uint32_t>(programs_.size() + 1);
    auto made = std::make_unique<T>(surroundings(), number, any_shard(), program_config());
    T& program = *made;
    trace_.line(network_.now, "{}: {} dials shard {}", number, what, program.wire().shard);
    programs_.push_back(std::move(made));
    return program;
  }
  Caller& start_caller();
  Responder& start_responder();
  void start_observer();
  Submitter& start_submitter();
  void start_worker(const std::string& name);
  Correspondent& start_correspondent();
  Manner draw_manner();
  void start_steady();

  void step();
  void let_time_pass();
  void act_on(Caller& caller);
  void act_on(Responder& responder);
  void act_on_link(WorldProgram& program);
  void end_program(WorldProgram& program);
  void drain_node();
  void call(Caller& caller);
  void call_steady();
  void act_on_jobs();
  void act_on_streams();
  void act_on_subjects();
  void subscribe(Correspondent& correspondent);
  void leap();
  void set_wall_clock();
  void check_memory();
  WorldProgram& any_program();
  void replace(WorldProgram& program);
  std::uint32_t draw_bytes();
  std::string instance_name();
  [[nodiscard]] bool is_served(std::string_view service) const;
  // No service refuses or holds up a call for its settings alone.
  [[nodiscard]] bool has_ample_room() const;

  void check_queues();
  void heal();
  void end_jobs();
  void check_jobs();
  void publish_last();
  void check_subjects();
  void check_idle();
  void check_routes();
  void check_watches();
  void probe();
  void end_all();
  void check_empty();
  WorldCounts count() const;

  WorldOptions options_;
  Trace trace_;
  Ledger ledger_;
  JobBook book_;
  StreamBook streams_;
  SubjectBook subjects_;
  std::int64_t wall_clock_ms_ = 1'700'000'000'000;  // When the world's clock is at 0.
  jobs::MemoryJobStore job_store_;
  jobs::VirtualLogStore logs_;
  jobs::JobServices jobs_;
  const std::shared_ptr<const registry::ServiceRules> rules_;
  const registry::ServiceSettings settings_;  // Of services that meet peril.
  const router::RouterConfig router_;
  VirtualNetwork network_;
  Perils perils_;
  std::vector<std::unique_ptr<WorldProgram>> programs_;  // All there ever were.
  std::vector<Caller*> callers_;                         // Those of now.
  std::vector<Responder*> responders_;
  std::vector<Observer*> observers_;    // Not in every world.
  std::vector<Submitter*> submitters_;  // Not in every world,
  std::vector<Worker*> workers_;        // but where there are some, these too.
  std::map<const Worker*, std::string> worker_names_;
  std::vector<Correspondent*> correspondents_;  // Not in every world.
  std::vector<std::uint64_t> last_messages_;    // Published once all was healed.
  std::uint64_t leaps_ = 0;
  Caller* steady_caller_ = nullptr;  // These two meet no peril but the node's drain.
  Responder* steady_responder_ = nullptr;
  std::uint64_t bytes_left_;  // For messages, so that no world takes long.
  std::uint64_t instances_named_ = 0;
  bool drained_ = false;
};

}  // namespace valkyrie::simulation
