#include "tests/simulation/virtual_network.h"

#include <algorithm>
#include <utility>

#include "tests/simulation/violation.h"

namespace valkyrie::simulation {
namespace {

// A connection of which one side is over goes at the latest so much later.
constexpr Duration kLinger = 5s;

// Turns and deadlines without any time passing; more is a loop that never ends.
constexpr int kTurnsMax = 1'000'000;
constexpr int kDeadlinesAtOnceMax = 10'000;

// What a session still has to write when its connection is gone.
void discard_output(protocol::Session& session, Instant now) {
  std::span<const std::byte> found[16];
  while (const std::size_t count = session.gather(found, SIZE_MAX)) {
    std::size_t bytes = 0;
    for (const auto piece : std::span(found).first(count)) bytes += piece.size();
    session.written(bytes, now);
  }
}

void earlier(std::optional<Instant>& next, std::optional<Instant> at) {
  if (at && (!next || *at < *next)) next = at;
}

}  // namespace

VirtualNetwork::Shard::Shard(VirtualNetwork& of, const router::RouterConfig& config)
    : network(of),
      index(config.shard),
      inbox(config.shards),
      node(config, of.identity_, of.gauges_, *this) {}

void VirtualNetwork::Shard::send(std::uint32_t to, router::ShardMessage&& message) {
  std::deque<Letter>& inbox_there = network.shards_[to]->inbox[index];
  Instant due = network.now;
  if (network.shard_delay_max > Duration::zero()) {
    due += Duration(network.random() % static_cast<std::uint64_t>(network.shard_delay_max.count()));
  }
  if (!inbox_there.empty()) due = std::max(due, inbox_there.back().due);
  inbox_there.push_back({.due = due, .message = std::move(message)});
}

VirtualNetwork::VirtualNetwork(std::uint64_t seed, std::uint32_t shards, Faults with,
                               router::RouterConfig router)
    : faults(with), random(seed), gauges_(shards) {
  identity_.name = "n-test";
  identity_.started = now;
  router.shards = shards;
  for (router.shard = 0; router.shard < shards; ++router.shard) {
    router.seed = static_cast<std::uint32_t>(random());
    shards_.push_back(std::make_unique<Shard>(*this, router));
  }
  node_config.reader = protocol::MetadataReader::relay;
  node_config.node_id = identity_.name;
}

VirtualNetwork::~VirtualNetwork() {
  for (auto& wire : wires_) drop(*wire);
}

Wire& VirtualNetwork::dial(Program& program, std::uint32_t shard,
                           const protocol::SessionConfig& config) {
  wires_.push_back(std::make_unique<Wire>(shard, config, node_config, pool_, now));
  Wire& wire = *wires_.back();
  wire.program = &program;
  wire.to_node.capacity = wire.to_program.capacity = capacity;
  wire.to_node.damage = wire.to_program.damage = damage;
  wire.connection = router_of(shard).attach(wire.far, "virtual", {}, &wire, now);
  return wire;
}

void VirtualNetwork::cut(Wire& wire) {
  if (std::exchange(wire.cut, true)) return;
  wire.near.receive_eof(now);
  wire.poll_program();
  wire.far.receive_eof(now);
  poll_node(wire);
  discard_output(wire.near, now);
  discard_output(wire.far, now);
}

void VirtualNetwork::run() {
  for (;;) {
    for (int turns = 0; turn(); ++turns) require(turns < kTurnsMax, "the node never rests");
    const auto next = next_arrival();
    if (!next) return;
    now = std::max(now, *next);
  }
}

void VirtualNetwork::advance(Duration by) {
  const Instant end = now + by;
  run();
  while (const auto next = next_deadline()) {
    if (*next > end) break;
    now = std::max(now, *next);
    fire_deadlines();
    run();
  }
  now = std::max(now, end);
}

void VirtualNetwork::run_for(Duration by) {
  const Instant end = now + by;
  int at_once = 0;
  for (;;) {
    for (int turns = 0; turn(); ++turns) require(turns < kTurnsMax, "the node never rests");
    auto next = next_arrival();
    earlier(next, next_deadline());
    if (!next || *next > end) break;
    at_once = *next <= now ? at_once + 1 : 0;
    require(at_once < kDeadlinesAtOnceMax, "a deadline stays in the past");
    now = std::max(now, *next);
    fire_deadlines();
  }
  now = end;
}

bool VirtualNetwork::turn() {
  bool moved = false;
  for (auto& shard : shards_) moved = turn_of(*shard) || moved;
  for (std::size_t i = 0; i < wires_.size(); ++i) {
    if (!wires_[i]->cut) moved = turn_of_program(*wires_[i]) || moved;
  }
  return moved;
}

bool VirtualNetwork::turn_of_program(Wire& wire) {
  const bool moved =
      wire.to_program.deliver(faults_of(wire), random, now, [&](std::span<const std::byte> bytes) {
        if (!wire.near.closed()) wire.near.receive(bytes, now);
        wire.poll_program();
      });
  wire.poll_program();
  wire.to_node.take_from(wire.near, faults_of(wire), random, now);
  wire.poll_program();
  wire.to_node.take_from(wire.near, faults_of(wire), random, now);
  if (!wire.near.closed()) return moved;
  if (!wire.lingers) wire.lingers = now + kLinger;
  if (wire.to_node.empty() && !wire.near.has_output()) cut(wire);
  return moved;
}

void VirtualNetwork::drain(Duration grace) {
  for (auto& shard : shards_) shard->node.router().drain(grace, now);
  run();
}

bool VirtualNetwork::turn_of(Shard& shard) {
  bool moved = false;
  for (auto& wire : wires_) {
    if (wire->shard != shard.index || wire->cut) continue;
    moved = wire->to_node.deliver(faults_of(*wire), random, now,
                                  [&](std::span<const std::byte> bytes) {
                                    if (!wire->far.closed()) wire->far.receive(bytes, now);
                                    poll_node(*wire);
                                  }) ||
            moved;
  }
  for (std::uint32_t from = 0; from < shard.inbox.size(); ++from) {
    moved = take_letters(shard, from) || moved;
  }
  while (void* owner = shard.node.router().next_dirty()) poll_node(*static_cast<Wire*>(owner));
  shard.node.router().end_turn();
  shard.node.store_gauges();
  for (auto& wire : wires_) {
    if (wire->shard == shard.index && !wire->cut) finish_turn(*wire);
  }
  for (const auto& other : shards_) {
    const auto& inbox = other->inbox[shard.index];
    moved = moved || (!inbox.empty() && inbox.front().due <= now);
  }
  return moved;
}

// A prefix only: how far shards are apart is the seed's to say.
bool VirtualNetwork::take_letters(Shard& shard, std::uint32_t from) {
  std::deque<Letter>& inbox = shard.inbox[from];
  std::size_t count = inbox.empty() ? 0 : 1 + random() % inbox.size();
  bool moved = false;
  for (; count > 0 && inbox.front().due <= now; --count) {
    router::ShardMessage message = std::move(inbox.front().message);
    inbox.pop_front();
    shard.node.router().on_message(from, std::move(message), now);
    moved = true;
  }
  return moved;
}

void VirtualNetwork::finish_turn(Wire& wire) {
  wire.to_program.take_from(wire.far, faults_of(wire), random, now);
  poll_node(wire);  // A session that drains closes when its last byte has gone.
  wire.to_program.take_from(wire.far, faults_of(wire), random, now);
  if (!wire.far.closed()) return;
  if (!wire.lingers) wire.lingers = now + kLinger;
  if (wire.to_program.empty() && !wire.far.has_output()) cut(wire);
}

void VirtualNetwork::poll_node(Wire& wire) {
  if (wire.connection == 0) return;
  router::Router& router = router_of(wire.shard);
  while (const protocol::Event* event = wire.far.poll_event()) {
    router.on_event(wire.connection, *event, now);
    if (event->type != protocol::EventType::closed) continue;
    router.detach(std::exchange(wire.connection, 0));
    return;
  }
}

void VirtualNetwork::drop(Wire& wire) {
  if (wire.connection == 0) return;
  wire.cut = true;
  wire.far.receive_eof(now);
  poll_node(wire);
}

std::optional<Instant> VirtualNetwork::next_arrival() const {
  std::optional<Instant> next;
  for (const auto& wire : wires_) {
    if (wire->cut) continue;
    earlier(next, wire->to_node.due());
    earlier(next, wire->to_program.due());
  }
  for (const auto& shard : shards_) {
    for (const auto& inbox : shard->inbox) {
      if (!inbox.empty()) earlier(next, inbox.front().due);
    }
  }
  return next;
}

std::optional<Instant> VirtualNetwork::next_deadline() const {
  std::optional<Instant> next;
  for (const auto& shard : shards_) earlier(next, shard->node.router().deadline());
  for (const auto& wire : wires_) {
    if (wire->cut) continue;
    if (!wire->near.closed()) earlier(next, wire->near.deadline());
    if (!wire->far.closed()) earlier(next, wire->far.deadline());
    if (!wire->near.closed()) earlier(next, wire->program->deadline());
    earlier(next, wire->lingers);
  }
  return next;
}

void VirtualNetwork::fire_deadlines() {
  const auto due = [&](std::optional<Instant> at) { return at && *at <= now; };
  for (auto& shard : shards_) {
    if (due(shard->node.router().deadline())) shard->node.router().on_deadline(now);
  }
  for (std::size_t i = 0; i < wires_.size(); ++i) {
    Wire& wire = *wires_[i];
    if (wire.cut) continue;
    if (due(wire.lingers)) {
      cut(wire);
      continue;
    }
    if (!wire.near.closed() && due(wire.near.deadline())) wire.near.on_deadline(now);
    wire.poll_program();
    if (!wire.near.closed() && due(wire.program->deadline())) wire.program->on_deadline();
    if (!wire.far.closed() && due(wire.far.deadline())) wire.far.on_deadline(now);
    poll_node(wire);
  }
}

}  // namespace valkyrie::simulation
