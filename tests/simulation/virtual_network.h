// A whole node without sockets, clients and services on a virtual network, and a clock that the
// test moves. The seed decides everything, so a failing seed replays byte for byte.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "protocol/buffer_pool.h"
#include "protocol/session.h"
#include "server/node/node_shard.h"

namespace valkyrie::simulation {

using namespace std::chrono_literals;
using protocol::Duration;
using protocol::Instant;

// What a stream transport does to bytes. None of it loses or reorders within a connection.
struct Faults {
  std::size_t piece_bytes_max = SIZE_MAX;  // Longest piece delivered at once, drawn from 1.
  Duration delay_max{};                    // Of a piece, drawn from 0.
};

// One direction of a connection.
class Pipe {
 public:
  // Sends what the session has to write, cut into pieces that arrive in order.
  void take_from(protocol::Session& session, const Faults& faults, std::mt19937_64& random,
                 Instant now) {
    std::span<const std::byte> found[16];
    while (const std::size_t count = session.gather(found, 128 * 1024)) {
      std::size_t taken = 0;
      for (const auto piece : std::span(found).first(count)) {
        push(piece, faults, random, now);
        taken += piece.size();
      }
      session.written(taken, now);
    }
  }

  // Gives what is due to `take(bytes)`, piece by piece. False if nothing was.
  template <class Take>
  bool deliver(Instant now, Take take) {
    bool moved = false;
    while (!stalled && !pieces_.empty() && pieces_.front().due <= now) {
      const std::vector<std::byte> bytes = std::move(pieces_.front().bytes);
      pieces_.pop_front();
      moved = true;
      take(std::span<const std::byte>(bytes));
    }
    return moved;
  }

  // When the next piece is due, if one is under way and the reader reads.
  [[nodiscard]] std::optional<Instant> due() const {
    if (stalled || pieces_.empty()) return std::nullopt;
    return pieces_.front().due;
  }

  bool stalled = false;  // The reader does not read.

 private:
  struct Piece {
    Instant due;
    std::vector<std::byte> bytes;
  };

  void push(std::span<const std::byte> bytes, const Faults& faults, std::mt19937_64& random,
            Instant now) {
    while (!bytes.empty()) {
      std::size_t size = bytes.size();
      if (faults.piece_bytes_max < SIZE_MAX) {
        size = std::min(size, static_cast<std::size_t>(1 + random() % faults.piece_bytes_max));
      }
      Instant due = now;
      if (faults.delay_max > Duration::zero()) {
        due += Duration(random() % static_cast<std::uint64_t>(faults.delay_max.count()));
      }
      if (!pieces_.empty()) due = std::max(due, pieces_.back().due);
      pieces_.push_back({.due = due, .bytes = {bytes.begin(), bytes.begin() + size_of(size)}});
      bytes = bytes.subspan(size);
    }
  }
  static std::ptrdiff_t size_of(std::size_t size) { return static_cast<std::ptrdiff_t>(size); }

  std::deque<Piece> pieces_;
};

// A program on the other end of a connection: it owns no socket and no clock either.
class Program {
 public:
  virtual ~Program() = default;
  // Handles one event of its session.
  virtual void on_event(const protocol::Event& event) = 0;
};

// A connection: the program's session, the node's, and the bytes between them.
class Wire {
 public:
  Wire(std::uint32_t at, const protocol::SessionConfig& dialer,
       const protocol::SessionConfig& acceptor, protocol::BufferPool& pool, Instant now)
      : shard(at),
        near(protocol::Role::dialer, dialer, pool, now),
        far(protocol::Role::acceptor, acceptor, pool, now) {}

  // Lets the program handle what its session has to tell.
  void poll_program() {
    while (const protocol::Event* event = near.poll_event()) program->on_event(*event);
  }

  const std::uint32_t shard;
  protocol::Session near;  // The program's.
  protocol::Session far;   // The node's.
  Pipe to_node;
  Pipe to_program;
  Program* program = nullptr;
  router::ConnectionId connection = 0;  // 0 once the node has forgotten it.
  bool cut = false;                     // No bytes any more, either way.
};

// The node, its shards joined by queues, and all connections to it.
class VirtualNetwork {
 public:
  explicit VirtualNetwork(std::uint64_t seed = 1, std::uint32_t shards = 1, Faults with = {})
      : faults(with), random(seed), gauges_(shards) {
    identity_.name = "n-test";
    identity_.started = now;
    for (std::uint32_t i = 0; i < shards; ++i) {
      shards_.push_back(std::make_unique<Shard>(*this, i, shards));
    }
    node_config.reader = protocol::MetadataReader::relay;
    node_config.node_id = identity_.name;
  }
  ~VirtualNetwork() {
    for (auto& wire : wires_) drop(*wire);
  }

  // Connects a program, which must outlive the network, to a shard of the node.
  Wire& dial(Program& program, std::uint32_t shard = 0,
             const protocol::SessionConfig& config = {}) {
    wires_.push_back(std::make_unique<Wire>(shard, config, node_config, pool_, now));
    Wire& wire = *wires_.back();
    wire.program = &program;
    wire.connection = router_of(shard).attach(wire.far, "virtual", {}, &wire, now);
    return wire;
  }

  // Ends the connection as a kill of the program or a pulled cable with a RST does: each side sees
  // the end of it, the bytes under way are lost.
  void cut(Wire& wire) {
    if (std::exchange(wire.cut, true)) return;
    wire.near.receive_eof(now);
    wire.poll_program();
    wire.far.receive_eof(now);
    poll_node(wire);
  }

  // Runs until no bytes and no messages are under way; the clock moves as far as delays need.
  void run() {
    for (;;) {
      while (turn()) {
      }
      std::optional<Instant> next;
      for (const auto& wire : wires_) {
        if (wire->cut) continue;
        for (const Pipe* pipe : {&wire->to_node, &wire->to_program}) {
          if (const auto due = pipe->due(); due && (!next || *due < *next)) next = due;
        }
      }
      if (!next) return;
      now = std::max(now, *next);
    }
  }

  // Lets time pass, stopping at each deadline on the way.
  void advance(Duration by) {
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

  // Lets every shard do one turn, and every program. False if nothing moved.
  bool turn() {
    bool moved = false;
    for (auto& shard : shards_) moved = turn_of(*shard) || moved;
    for (auto& wire : wires_) {
      if (wire->cut) continue;
      moved = wire->to_program.deliver(now, [&](std::span<const std::byte> bytes) {
        wire->near.receive(bytes, now);
        wire->poll_program();
      }) || moved;
      wire->poll_program();
      wire->to_node.take_from(wire->near, faults, random, now);
      if (wire->near.closed()) cut(*wire);
    }
    return moved;
  }

  // Drains the node, all shards.
  void drain(Duration grace) {
    for (auto& shard : shards_) shard->node.router().drain(grace, now);
    run();
  }

  // The router of a shard.
  router::Router& router_of(std::uint32_t shard) { return shards_[shard]->node.router(); }
  // A shard of the node.
  server::NodeShard& shard(std::uint32_t index) { return shards_[index]->node; }

  Instant now{1s};
  Faults faults;
  std::mt19937_64 random;
  protocol::SessionConfig node_config;  // For the node's end of what is dialled from now on.

 private:
  struct Shard final : router::Outbox {
    Shard(VirtualNetwork& of, std::uint32_t at, std::uint32_t shards)
        : network(of),
          index(at),
          inbox(shards),
          node({.shard = at, .shards = shards, .seed = static_cast<std::uint32_t>(of.random())},
               of.identity_, of.gauges_, *this) {}

    void send(std::uint32_t to, router::ShardMessage&& message) override {
      network.shards_[to]->inbox[index].push_back(std::move(message));
    }

    VirtualNetwork& network;
    const std::uint32_t index;
    std::vector<std::deque<router::ShardMessage>> inbox;  // By sender.
    server::NodeShard node;
  };

  bool turn_of(Shard& shard) {
    bool moved = false;
    for (auto& wire : wires_) {
      if (wire->shard != shard.index || wire->cut) continue;
      moved = wire->to_node.deliver(now, [&](std::span<const std::byte> bytes) {
        wire->far.receive(bytes, now);
        poll_node(*wire);
      }) || moved;
    }
    for (std::uint32_t from = 0; from < shard.inbox.size(); ++from) {
      // A prefix only: how far shards are apart is the seed's to say.
      std::size_t count = shard.inbox[from].size();
      if (count > 0) count = 1 + random() % count;
      for (; count > 0; --count) {
        router::ShardMessage message = std::move(shard.inbox[from].front());
        shard.inbox[from].pop_front();
        shard.node.router().on_message(from, std::move(message), now);
        moved = true;
      }
    }
    while (void* owner = shard.node.router().next_dirty()) poll_node(*static_cast<Wire*>(owner));
    shard.node.end_turn();
    for (auto& wire : wires_) {
      if (wire->shard == shard.index && !wire->cut) finish_turn(*wire);
    }
    for (const auto& other : shards_) moved = moved || !other->inbox[shard.index].empty();
    return moved;
  }

  void finish_turn(Wire& wire) {
    wire.to_program.take_from(wire.far, faults, random, now);
    poll_node(wire);  // A session that drains closes when its last byte has gone.
    wire.to_program.take_from(wire.far, faults, random, now);
    if (!wire.far.closed() || wire.to_program.due()) return;
    cut(wire);
  }

  void poll_node(Wire& wire) {
    if (wire.connection == 0) return;
    router::Router& router = router_of(wire.shard);
    while (const protocol::Event* event = wire.far.poll_event()) {
      router.on_event(wire.connection, *event, now);
      if (event->type != protocol::EventType::closed) continue;
      router.detach(std::exchange(wire.connection, 0));
      return;
    }
  }

  void drop(Wire& wire) {
    if (wire.connection == 0) return;
    wire.cut = true;
    wire.far.receive_eof(now);
    poll_node(wire);
  }

  [[nodiscard]] std::optional<Instant> next_deadline() const {
    std::optional<Instant> next;
    const auto consider = [&](std::optional<Instant> at) {
      if (at && (!next || *at < *next)) next = at;
    };
    for (const auto& shard : shards_) consider(shard->node.router().deadline());
    for (const auto& wire : wires_) {
      if (wire->cut) continue;
      consider(wire->near.deadline());
      consider(wire->far.deadline());
    }
    return next;
  }

  void fire_deadlines() {
    for (auto& shard : shards_) {
      const auto at = shard->node.router().deadline();
      if (at && *at <= now) shard->node.router().on_deadline(now);
    }
    for (auto& wire : wires_) {
      if (wire->cut) continue;
      if (wire->near.deadline() && *wire->near.deadline() <= now) wire->near.on_deadline(now);
      wire->poll_program();
      if (wire->far.deadline() && *wire->far.deadline() <= now) wire->far.on_deadline(now);
      poll_node(*wire);
    }
  }

  protocol::BufferPool pool_;
  server::NodeIdentity identity_;
  server::NodeGauges gauges_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::unique_ptr<Wire>> wires_;
};

}  // namespace valkyrie::simulation
