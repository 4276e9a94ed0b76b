#include "tests/simulation/world.h"

#include <algorithm>
#include <utility>

#include "tests/simulation/violation.h"

namespace valkyrie::simulation {
namespace {

constexpr std::uint64_t kBytesOfWorld = 1'000'000;
std::uint32_t shards_of(std::uint64_t seed) { return static_cast<std::uint32_t>(1 + seed % 3); }

}  // namespace

World::World(const WorldOptions& options)
    : options_(options),
      trace_(options.traced),
      subjects_(shards_of(options.seed)),
      jobs_(job_options(), job_store_, logs_),
      rules_(draw_rules(options.seed)),
      settings_(rules_->settings_of(service_name(0))),
      router_(router_config(options.seed, rules_)),
      network_(options.seed, shards_of(options.seed), {}, router_),
      bytes_left_(kBytesOfWorld) {
  for (std::uint32_t i = 0; i < network_.shard_count(); ++i) {
    server::NodeShard& shard = network_.shard(i);
    shard.add_service(jobs::JobServices::kJobsInfo, i == 0 ? &jobs_.jobs() : nullptr);
    shard.add_service(jobs::JobServices::kRunnersInfo, i == 0 ? &jobs_.runners() : nullptr);
  }
  draw_perils();
  draw_links();
  network_.damage = options.damage;
  for (std::uint64_t i = 1 + pick(3); i > 0; --i) start_responder();
  for (std::uint64_t i = 1 + pick(3); i > 0; --i) start_caller();
  start_steady();
  for (Responder* responder : responders_) {
    responder->serve(service_name(pick(kServices)), instance_name());
  }
  network_.run_for(500ms);
  if (chance(2)) start_observer();
  if (chance(2)) {
    for (std::uint64_t i = 1 + pick(4); i > 0; --i) start_correspondent();
  }
  if (chance(2)) return;
  for (std::uint64_t i = 1 + pick(2); i > 0; --i) start_submitter();
  for (std::uint64_t i = 1 + pick(2); i > 0; --i) start_worker("r" + std::to_string(i));
}

// One world in three probes its services.
registry::ProbeSettings World::draw_probe(std::mt19937_64& random) {
  const auto up_to = [&random](std::uint64_t most) {
    return static_cast<std::uint32_t>(1 + random() % most);
  };
  registry::ProbeSettings probe{.interval = Duration(1ms) * (100 + up_to(1900)),
                                .timeout = Duration(1ms) * up_to(1000),
                                .failures = up_to(3),
                                .successes = up_to(2),
                                .deregister = up_to(8) - 1};
  if (random() % 3 != 0) probe.interval = {};
  return probe;
}

// How the services of the world are treated; the steady one has no limit.
std::shared_ptr<const registry::ServiceRules> World::draw_rules(std::uint64_t seed) {
  std::mt19937_64 random(~seed);
  auto rules = std::make_shared<registry::ServiceRules>();
  rules->add(registry::kDefaultsPattern,
             [balance = static_cast<messages::Balance>(random() % 4),
              slow_start = Duration(1ms) * (random() % 2 == 0 ? 0 : random() % 5000)](
                 registry::ServiceSettings& settings) {
               settings.balance = balance;
               settings.slow_start = slow_start;
             });
  rules->add("world.*", [in_flight_max = random() % 3 == 0 ? 1 + random() % 20 : 0,
                         failures = static_cast<std::uint32_t>(random() % 4),
                         queue_max = random() % 2 == 0 ? random() % 20 : kQueueAmple,
                         success_gap = random() % 2 == 0 ? 1 + random() % 50 : 0,
                         locality = std::string(random() % 2 == 0 ? "zone" : ""),
                         probe = draw_probe(random)](registry::ServiceSettings& settings) {
    settings.in_flight_max = static_cast<std::uint32_t>(in_flight_max);
    settings.locality = locality;
    settings.queue_max = static_cast<std::uint32_t>(queue_max);
    settings.probe = probe;
    settings.ejection = {.failures = failures,
                         .success_gap = static_cast<std::uint32_t>(success_gap),
                         .calls_min = 3,
                         .interval = 1s,
                         .time = 1s,
                         .time_max = 4s,
                         .share_max = 100};
  });
  rules->set_node_label("zone", "near");
  return rules;
}

// In every other world queues of events are short.
router::RouterConfig World::router_config(std::uint64_t seed,
                                          std::shared_ptr<const registry::ServiceRules> rules) {
  router::RouterConfig config;
  config.rules = std::move(rules);
  if (seed / 3 % 2 == 0) return config;
  config.subscription_bytes_max = 5000 + seed % 50'000;
  config.session_event_bytes_max = 2 * config.subscription_bytes_max;
  return config;
}

jobs::JobPlaneOptions World::job_options() {
  return {
      .node = "n-test",
      .node_bits = 1,
      .epoch = 1,
      .unix_ms =
          [this] {
            return static_cast<std::uint64_t>(wall_clock_ms_ + network_.now.time_since_epoch() /
                                                                   std::chrono::milliseconds(1));
          },
      .random = [this] { return network_.random(); }};
}

void World::draw_perils() {
  // One world in eight is calm: only bytes are late and cut, and every call must succeed.
  if (chance(8)) return;
  perils_.stalls = chance(2);
  perils_.deaths = chance(2);
  perils_.flaps = chance(2);
  perils_.manners = chance(2);
  perils_.giving_up = chance(2);
  perils_.drain = chance(6);
  perils_.leaps = chance(6);
}

bool World::calm() const {
  return !perils_.stalls && !perils_.deaths && !perils_.flaps && !perils_.manners &&
         !perils_.giving_up && !perils_.drain && !perils_.leaps;
}

void World::draw_links() {
  Faults& faults = network_.faults;
  constexpr std::size_t kPieces[] = {1, 7, 100, 1500, 20'000};
  if (chance(2)) faults.piece_bytes_max = kPieces[pick(std::size(kPieces))];
  // Single bytes are for short messages: each is a read of its own.
  if (faults.piece_bytes_max < 100) bytes_left_ = 20'000;
  if (chance(2)) faults.joined_bytes_max = 1 + pick(100'000);
  if (chance(2)) faults.delay_max = Duration(1ms) * (1 + pick(30));
  faults.uneven = chance(2);
  if (chance(2)) network_.shard_delay_max = Duration(1us) * (1 + pick(20'000));
  if (perils_.stalls || chance(2)) network_.capacity = 4096 + pick(200'000);
  network_.node_config.limits = draw_limits();
}

protocol::SessionLimits World::draw_limits() {
  protocol::SessionLimits limits;
  if (chance(2)) limits.stream_credit_bytes = static_cast<std::uint32_t>(65'536 + pick(200'000));
  if (chance(2)) {
    limits.connection_credit_bytes = static_cast<std::uint32_t>(65'536 + pick(300'000));
  }
  if (chance(2)) limits.frame_body_bytes_max = static_cast<std::uint32_t>(32'768 + pick(100'000));
  limits.keepalive_interval = Duration(1ms) * (500 + pick(2500));
  if (calm()) return limits;
  limits.stall_timeout = Duration(1ms) * (1000 + pick(10'000));
  if (chance(4)) limits.requests_in_flight_max = static_cast<std::uint32_t>(1 + pick(16));
  if (chance(4)) limits.call_message_bytes_max = static_cast<std::uint32_t>(32'768 + pick(100'000));
  // Over these a stream is given up as that of a slow peer: not where nobody may be.
  if (surroundings().patient) return limits;
  if (chance(4)) limits.queued_bytes_max = 65'536 + pick(200'000);
  if (chance(4)) limits.held_bytes_max = 150'000 + pick(500'000);
  return limits;
}

protocol::SessionConfig World::program_config() { return {.limits = draw_limits()}; }

std::uint32_t World::any_shard() {
  return static_cast<std::uint32_t>(pick(network_.shard_count()));
}

Caller& World::start_caller() {
  callers_.push_back(&add_program<Caller>("a caller"));
  return *callers_.back();
}

void World::start_observer() { observers_.push_back(&add_program<Observer>("a watcher")); }

Responder& World::start_responder() {
  responders_.push_back(&add_program<Responder>("a service"));
  responders_.back()->manner = draw_manner();
  responders_.back()->moody = perils_.manners;
  return *responders_.back();
}

Manner World::draw_manner() {
  Manner manner;
  manner.large = static_cast<std::uint32_t>(pick(20));
  manner.large_bytes = draw_bytes();
  if (!perils_.manners) return manner;
  manner.late = static_cast<std::uint32_t>(pick(60));
  manner.never = chance(2) ? static_cast<std::uint32_t>(pick(40)) : 0;
  manner.error = static_cast<std::uint32_t>(pick(20));
  manner.shed = static_cast<std::uint32_t>(pick(20));
  manner.heeds_cancel = chance(2);
  return manner;
}

// Two that meet no peril: whatever others do, their calls succeed.
void World::start_steady() {
  const auto add = [&](auto made) {
    auto* program = made.get();
    program->wire().faults = Faults{.delay_max = network_.faults.delay_max};
    programs_.push_back(std::move(made));
    return program;
  };
  const Surroundings around = surroundings();
  const auto number = static_cast<std::uint32_t>(programs_.size() + 1);
  // Towards them the node is easy too.
  const protocol::SessionLimits limits = std::exchange(network_.node_config.limits, {});
  steady_responder_ =
      add(std::make_unique<Responder>(around, number, any_shard(), protocol::SessionConfig{}));
  steady_caller_ =
      add(std::make_unique<Caller>(around, number + 1, any_shard(), protocol::SessionConfig{}));
  network_.node_config.limits = limits;
  for (int i = 0; i < 100 && !steady_responder_->wire().near.ready(); ++i) network_.run_for(50ms);
  steady_responder_->serve(kSteadyService, "steady");
  for (int i = 0; i < 100 && !steady_caller_->wire().near.ready(); ++i) network_.run_for(50ms);
  network_.run_for(500ms);
}

WorldCounts World::run() {
  const std::uint64_t steps = 20 + pick(60);
  for (std::uint64_t i = 0; i < steps; ++i) {
    step();
    if (perils_.drain && i == steps / 2) drain_node();
    if (perils_.leaps && i == steps / 3) leap();
    ledger_.check_progress(network_.now, kSteadyPatience);
    check_memory();
    check_queues();
  }
  heal();
  check_idle();
  check_jobs();
  check_routes();
  check_watches();
  check_subjects();
  if (!drained_) probe();
  end_all();
  check_empty();
  return count();
}

WorldCounts World::count() const {
  WorldCounts counts;
  counts.connections = network_.wires().size();
  for (const CallRecord& call : ledger_.calls()) {
    if (!call.taken || call.ask.notify) continue;
    ++counts.calls;
    if (call.ask.origin != 0) ++counts.repeats;
    if (call.code == protocol::StatusCode::ok) ++counts.ok;
    if (call.outcome == protocol::Outcome::maybe_executed) ++counts.maybe;
    if (call.outcome == protocol::Outcome::not_executed) ++counts.not_executed;
  }
  for (const StreamRecord& stream : streams_.streams()) {
    ++counts.streams;
    if (stream.status == protocol::StatusCode::ok) ++counts.streams_ok;
    counts.messages += stream.up.got + stream.down.got;
  }
  counts.published = subjects_.messages().size();
  counts.events = subjects_.events();
  counts.lost = subjects_.lost();
  counts.leaps = leaps_;
  counts.jobs = book_.jobs().size();
  for (const JobTruth& job : book_.jobs()) {
    if (job.result.state == messages::JobState::succeeded) ++counts.jobs_succeeded;
    counts.log_bytes += job.received;
  }
  for (const auto& wire : network_.wires()) {
    counts.damaged += wire->to_node.damaged() + wire->to_program.damaged();
  }
  return counts;
}

}  // namespace valkyrie::simulation
