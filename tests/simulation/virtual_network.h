// A whole node without sockets, clients and services on a virtual network, and a clock that the
// test moves. The seed decides everything, so a failing seed replays byte for byte.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "protocol/buffer_pool.h"
#include "protocol/session.h"
#include "server/node/node_shard.h"
#include "tests/simulation/virtual_pipe.h"

namespace valkyrie::simulation {

using namespace std::chrono_literals;

// A program on the other end of a connection: it owns no socket and no clock either.
class Program {
 public:
  virtual ~Program() = default;
  // Handles one event of its session.
  virtual void on_event(const protocol::Event& event) = 0;
  // When on_deadline() is to be called; nullopt means never.
  [[nodiscard]] virtual std::optional<Instant> deadline() const { return std::nullopt; }
  // The time of deadline() has come.
  virtual void on_deadline() {}
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
  // From now on nothing arrives any more and nobody is told, as when a cable is pulled or a
  // firewall forgets: only the keepalive finds it.
  void lose() { to_node.stalled = to_program.stalled = lost = true; }

  const std::uint32_t shard;
  protocol::Session near;  // The program's.
  protocol::Session far;   // The node's.
  Pipe to_node;
  Pipe to_program;
  std::optional<Faults> faults;  // Its own, where they are not the network's.
  Program* program = nullptr;
  router::ConnectionId connection = 0;  // 0 once the node has forgotten it.
  bool cut = false;                     // No bytes any more, either way.
  bool lost = false;                    // See lose().
  std::optional<Instant> lingers;       // One side is over; until then the other may read the rest.
};

// The node, its shards joined by queues, and all connections to it.
class VirtualNetwork {
 public:
  explicit VirtualNetwork(std::uint64_t seed = 1, std::uint32_t shards = 1, Faults with = {},
                          router::RouterConfig router = {});
  ~VirtualNetwork();
  VirtualNetwork(const VirtualNetwork&) = delete;
  VirtualNetwork& operator=(const VirtualNetwork&) = delete;

  // Connects a program, which must outlive the network, to a shard of the node.
  Wire& dial(Program& program, std::uint32_t shard = 0, const protocol::SessionConfig& config = {});

  // Ends the connection as a kill of the program or a pulled cable with a RST does: each side sees
  // the end of it, the bytes under way are lost.
  void cut(Wire& wire);

  // Runs until no bytes and no messages are under way; the clock moves as far as delays need.
  void run();
  // Lets time pass, after all that is under way has arrived, stopping at each deadline on the way.
  void advance(Duration by);
  // Lets time pass, and leaves under way what takes longer.
  void run_for(Duration by);
  // Lets every shard do one turn, and every program. False if nothing moved.
  bool turn();

  // Drains the node, all shards, and runs until that is known everywhere.
  void drain(Duration grace);

  // The router of a shard.
  router::Router& router_of(std::uint32_t shard) { return shards_[shard]->node.router(); }
  // A shard of the node.
  server::NodeShard& shard(std::uint32_t index) { return shards_[index]->node; }
  // How many shards the node has.
  [[nodiscard]] std::uint32_t shard_count() const {
    return static_cast<std::uint32_t>(shards_.size());
  }
  // Chunks of output memory that all sessions together hold.
  [[nodiscard]] std::size_t chunks_in_use() const { return pool_.in_use(); }
  // Every connection there ever was.
  [[nodiscard]] const std::vector<std::unique_ptr<Wire>>& wires() const { return wires_; }

  Instant now{1s};
  Faults faults;
  Duration shard_delay_max{};  // Of a message between shards, drawn from 0.
  std::mt19937_64 random;
  protocol::SessionConfig node_config;  // For the node's end of what is dialled from now on.
  std::size_t capacity = SIZE_MAX;      // Of the pipes of what is dialled from now on,
  Damage damage;                        // and what is done to their bytes.

 private:
  struct Letter {
    Instant due;
    router::ShardMessage message;
  };
  struct Shard final : router::Outbox {
    Shard(VirtualNetwork& of, const router::RouterConfig& config);
    void send(std::uint32_t to, router::ShardMessage&& message) override;

    VirtualNetwork& network;
    const std::uint32_t index;
    std::vector<std::deque<Letter>> inbox;  // By sender.
    server::NodeShard node;
  };

  const Faults& faults_of(const Wire& wire) const { return wire.faults ? *wire.faults : faults; }
  bool turn_of(Shard& shard);
  bool take_letters(Shard& shard, std::uint32_t from);
  void finish_turn(Wire& wire);
  bool turn_of_program(Wire& wire);
  void poll_node(Wire& wire);
  void drop(Wire& wire);
  [[nodiscard]] std::optional<Instant> next_arrival() const;
  [[nodiscard]] std::optional<Instant> next_deadline() const;
  void fire_deadlines();

  protocol::BufferPool pool_;
  server::NodeIdentity identity_;
  server::NodeGauges gauges_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::unique_ptr<Wire>> wires_;
};

}  // namespace valkyrie::simulation
