// What must be true of a world once it is healed.
#include <map>
#include <set>
#include <utility>

#include "server/node/registry_service.h"
#include "tests/simulation/violation.h"
#include "tests/simulation/world.h"

namespace valkyrie::simulation {
namespace {

// Everybody who vanished is missed after this, three of the longest keepalive intervals.
constexpr Duration kFindingOut = 10s;
// All that was under way, every deadline, stall limit, keepalive and drain is over after this.
constexpr Duration kHealing = 15s;
// Streams towards instances that serve nobody are ENDed after this.
constexpr Duration kIdle = 61s;
// Longer than any message of a world.
constexpr std::uint64_t kMessageBytesMost = 300'000;

}  // namespace

// No service has more calls waiting on a shard than its queue takes.
void World::check_queues() {
  const std::size_t bound = settings_.queue_max == 0 ? kQueueAmple : settings_.queue_max;
  for (std::uint32_t i = 0; i < network_.shard_count(); ++i) {
    const std::size_t longest = network_.router_of(i).census().queue_longest;
    require(longest <= bound, "shard {} has {} calls in a queue of {}", i, longest, bound);
  }
}

// From here on nothing goes wrong any more. What has vanished stays so: the keepalive finds it.
void World::heal() {
  trace_.line(network_.now, "healed");
  network_.faults = {};
  network_.shard_delay_max = Duration::zero();
  for (const auto& program : programs_) {
    Wire& wire = program->wire();
    wire.faults.reset();
    wire.to_node.capacity = wire.to_program.capacity = SIZE_MAX;
    if (!wire.lost) wire.to_node.stalled = wire.to_program.stalled = false;
    program->give_credit(/*at_once=*/true);
  }
  network_.run_for(kFindingOut);
  publish_last();
  for (const auto& program : programs_) {
    if (auto* streamer = dynamic_cast<Streamer*>(program.get()); streamer != nullptr) {
      if (!streamer->closed()) streamer->finish_all();
    }
    if (auto* caller = dynamic_cast<Caller*>(program.get())) caller->stop_retrying();
    auto* responder = dynamic_cast<Responder*>(program.get());
    if (responder == nullptr || responder->closed()) continue;
    responder->check_told();
    responder->answer_all();
  }
  end_jobs();
  network_.run_for(kHealing);
}

// What the node holds of what a peer sent is bounded, whatever becomes of it.
void World::check_memory() {
  for (const auto& wire : network_.wires()) {
    if (wire->cut) continue;
    // One message of a call is stored whole, and the steady ones are held to other limits.
    const std::uint64_t most = std::max(network_.node_config.limits.held_bytes_max,
                                        protocol::SessionLimits{}.held_bytes_max);
    require(wire->far.held_bytes() <= most, "the node holds {} bytes", wire->far.held_bytes());
    // What waits for a peer: calls, what is relayed, and one long message of each class.
    const std::uint64_t queued = protocol::kQueuedBytesDefault + most + 5 * kMessageBytesMost;
    require(wire->far.queued_bytes() <= queued, "the node queues {} bytes",
            wire->far.queued_bytes());
  }
  for (std::uint32_t i = 0; i < network_.shard_count(); ++i) {
    const router::RouterCensus census = network_.router_of(i).census();
    const std::uint64_t bound = router_.subscription_bytes_max + kMessageBytesMost;
    require(census.event_bytes_queued <= census.subscriptions * bound,
            "shard {} queues {} bytes of events for {} subscriptions", i, census.event_bytes_queued,
            census.subscriptions);
  }
}

void World::check_idle() {
  streams_.check_all_over();
  subjects_.check_all_over();
  ledger_.check_all_over();
  ledger_.check_progress(network_.now, Duration::zero());
  for (const auto& program : programs_) {
    const Wire& wire = program->wire();
    if (drained_) {
      require(program->closed() && wire.cut, "the node has drained, but program {} is connected",
              program->number());
    }
    require(!wire.lost || wire.cut, "program {} vanished and nobody found it", program->number());
    if (!program->closed()) program->check_idle();
  }
  for (std::uint32_t i = 0; i < network_.shard_count(); ++i) {
    const router::RouterCensus census = network_.router_of(i).census();
    require(census.calls == 0 && census.waiting == 0, "shard {} keeps {} calls, {} waiting", i,
            census.calls, census.waiting);
  }
  require(network_.chunks_in_use() == 0, "{} chunks of output are kept", network_.chunks_in_use());
}

// What the registry and every shard know is what the living programs say.
void World::check_routes() {
  std::map<std::pair<std::string, std::string>, bool> expected;
  for (const auto& program : programs_) {
    const auto* responder = dynamic_cast<const Responder*>(program.get());
    if (responder == nullptr || responder->closed()) continue;
    for (const auto& [stream, registration] : responder->registrations()) {
      if (registration.over) continue;
      require(registration.confirmed, "program {} waits for its registration of {}",
              responder->number(), registration.instance);
      const bool is_new =
          expected
              .emplace(std::pair(registration.service, registration.instance), registration.ready)
              .second;
      require(is_new, "{} of {} is registered twice", registration.instance, registration.service);
    }
  }
  const auto list = network_.shard(0).registry().catalog().list("", network_.now);
  std::size_t found = 0;
  for (const auto& service : list.services) {
    for (const auto& instance : service.instances) {
      const auto known = expected.find({service.name, instance.instance});
      require(known != expected.end(), "{} of {} is listed, but nobody serves it",
              instance.instance, service.name);
      const bool serves = instance.state == messages::InstanceState::ready ||
                          instance.state == messages::InstanceState::ejected;
      require(known->second == serves, "{} of {} is listed as {}", instance.instance, service.name,
              to_string(instance.state));
      require(instance.in_flight == 0, "{} of {} is said to have {} calls", instance.instance,
              service.name, instance.in_flight);
      ++found;
    }
  }
  require(found == expected.size(), "{} instances are listed, {} live", found, expected.size());
}

// Whoever watches knows what the registry knows.
void World::check_watches() {
  std::map<std::pair<std::string, std::string>, messages::InstanceState> expected;
  const auto list = network_.shard(0).registry().catalog().list("", network_.now);
  for (const auto& service : list.services) {
    for (const auto& instance : service.instances) {
      expected[{service.name, instance.instance}] = instance.state;
    }
  }
  for (const Observer* observer : observers_) {
    if (observer->closed() || observer->draining() || observer->view() == nullptr) continue;
    require(observer->view()->instances == expected,
            "watcher {} knows {} instances otherwise than the registry, which has {}",
            observer->number(), observer->view()->instances.size(), expected.size());
  }
}

// From every shard, every service that lives answers, and no other does.
void World::probe() {
  std::set<std::string> ready;
  for (const auto& program : programs_) {
    const auto* responder = dynamic_cast<const Responder*>(program.get());
    if (responder == nullptr || responder->closed()) continue;
    for (const auto& [stream, registration] : responder->registrations()) {
      if (!registration.over && registration.ready && !responder->draining()) {
        ready.insert(registration.service);
      }
    }
  }
  network_.node_config.limits = {};
  const std::size_t first = ledger_.calls().size();
  for (std::uint32_t shard = 0; shard < network_.shard_count(); ++shard) {
    const auto number = static_cast<std::uint32_t>(programs_.size() + 1);
    auto made = std::make_unique<Caller>(surroundings(), number, shard, protocol::SessionConfig{});
    made->stop_retrying();
    network_.run();
    for (std::uint32_t i = 0; i <= kServices; ++i) {
      const std::string target = i == kServices ? kSteadyService : service_name(i);
      // One after another: an instance may take no more at a time.
      for (int n = 0; n < 5; ++n) {
        made->call({.target = target, .bytes = 1000, .must_succeed = ready.contains(target)});
        network_.run();
      }
    }
    programs_.push_back(std::move(made));
  }
  ledger_.check_all_over();
  for (std::size_t i = first; i < ledger_.calls().size(); ++i) {
    const CallRecord& call = ledger_.calls()[i];
    require(call.taken, "{} was not taken", describe(call));
    require((call.code == protocol::StatusCode::ok) == ready.contains(call.ask.target),
            "{} ended as {}", describe(call), to_string(call.code));
  }
}

void World::end_all() {
  network_.run_for(kIdle);
  for (std::uint32_t i = 0; i < network_.shard_count(); ++i) {
    const router::RouterCensus census = network_.router_of(i).census();
    require(census.lanes == 0 && census.upstreams == 0, "shard {} keeps {} lanes, {} upstreams", i,
            census.lanes, census.upstreams);
  }
  for (const auto& program : programs_) network_.cut(program->wire());
  network_.run_for(1s);
}

void World::check_empty() {
  for (std::uint32_t i = 0; i < network_.shard_count(); ++i) {
    const router::RouterCensus census = network_.router_of(i).census();
    require(census.probed == 0, "shard {} probes {} instances", i, census.probed);
    require(census.connections == 0 && census.bindings == 0 && census.lanes == 0 &&
                census.upstreams == 0 && census.calls == 0 && census.stream_ends == 0 &&
                census.instances == 0,
            "shard {} keeps {} connections, {} bindings, {} lanes, {} upstreams, {} calls, "
            "{} streams, {} instances",
            i, census.connections, census.bindings, census.lanes, census.upstreams, census.calls,
            census.stream_ends, census.instances);
    require(census.publishers + census.subscriptions + census.groups + census.interests == 0 &&
                census.events_queued + census.event_bytes_queued == 0,
            "shard {} keeps {} publishers, {} subscriptions, {} groups, {} interests, {} events", i,
            census.publishers, census.subscriptions, census.groups, census.interests,
            census.events_queued);
    require(census.services == kOwnServices, "shard {} keeps {} services", i, census.services);
  }
  require(network_.shard(0).registry().catalog().size() == 0, "the catalog keeps {} instances",
          network_.shard(0).registry().catalog().size());
}

}  // namespace valkyrie::simulation
