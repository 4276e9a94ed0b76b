// Random worlds: clients call, services come, go, stall and die, bytes are cut anywhere. Whatever
// happens, each call gets exactly one outcome, it is true, and nothing is kept afterwards.
#include <cstdlib>
#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <string>

#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::Outcome;
using protocol::StatusCode;

constexpr std::uint64_t kWorlds = 300;
constexpr int kSteps = 150;
constexpr std::size_t kPrograms = 3;  // Of each sort, at a time.

// One world. Programs that die stay in the lists, for what they saw.
class World {
 public:
  explicit World(std::uint64_t seed)
      : shards_(static_cast<std::uint32_t>(1 + seed % 3)), network_(seed, shards_) {
    network_.faults.piece_bytes_max = seed % 2 == 0 ? SIZE_MAX : 1 + pick(3000);
    network_.faults.delay_max = seed % 5 == 0 ? Duration(5ms) : Duration::zero();
    for (std::size_t i = 0; i < kPrograms; ++i) {
      clients_.push_back(std::make_unique<Peer>(network_, shard()));
      services_.push_back(start_service());
    }
  }

  void step() {
    switch (pick(15)) {
      case 0:
        return replace(services_[pick(kPrograms)], [&] { return start_service(); });
      case 1:
        return replace(clients_[pick(kPrograms)],
                       [&] { return std::make_unique<Peer>(network_, shard()); });
      case 2:
        clients_[pick(kPrograms)]->cancel_last();
        return;
      case 3: {
        Pipe& pipe = services_[pick(kPrograms)]->wire.to_program;
        pipe.stalled = !pipe.stalled;
        return;
      }
      case 4: {
        Pipe& pipe = clients_[pick(kPrograms)]->wire.to_program;
        pipe.stalled = !pipe.stalled;
        return;
      }
      case 5:
        services_[pick(kPrograms)]->hold = pick(2) == 0;
        return;
      case 6:
      case 7:
        services_[pick(kPrograms)]->reply_all();
        return;
      case 8:
        network_.run();
        return;
      case 9:
        clients_[pick(kPrograms)]->notify("s" + std::to_string(pick(2)), "M",
                                          std::string(pick(30'000), 'n'));
        return;
      case 10:
        network_.advance(Duration(1ms) * pick(2000));
        return;
      default:
        return call();
    }
  }

  // Heals all faults, lets everything end, and tells what is wrong.
  void check() {
    network_.faults = {};
    for (auto* programs : {&clients_, &services_}) {
      for (auto& program : *programs) program->wire.to_program.stalled = false;
    }
    for (auto& service : services_) service->hold = false;
    network_.run();
    for (auto& service : services_) service->reply_all();
    network_.advance(61s);  // Waits and idle streams are over.
    for (auto* programs : {&clients_, &services_}) {
      for (auto& program : *programs) {
        if (program->closed) continue;
        ASSERT_EQ(program->wire.far.held_bytes(), 0U) << "credit that never came back";
        ASSERT_EQ(program->wire.near.requests_in_flight(), 0U);
        retire(std::move(program));
      }
    }
    network_.run();
    check_answers();
    for (std::uint32_t i = 0; i < shards_; ++i) {
      const router::RouterCensus census = network_.router_of(i).census();
      EXPECT_EQ(census.connections, 0U);
      EXPECT_EQ(census.bindings, 0U);
      EXPECT_EQ(census.lanes, 0U);
      EXPECT_EQ(census.upstreams, 0U);
      EXPECT_EQ(census.calls, 0U);
      EXPECT_EQ(census.streams, 0U);
      EXPECT_EQ(census.instances, 0U);
      EXPECT_EQ(census.services, 2U) << "the node's own";
    }
  }

 private:
  std::uint64_t pick(std::uint64_t below) { return network_.random() % below; }
  std::uint32_t shard() { return static_cast<std::uint32_t>(pick(shards_)); }

  std::unique_ptr<Peer> start_service() {
    auto made = std::make_unique<Peer>(network_, shard());
    // Few names, so that some supersede others; some instances take little at a time.
    const std::uint32_t concurrency = pick(2) == 0 ? 0 : 2;
    made->serve("s" + std::to_string(pick(2)), "i" + std::to_string(pick(3)), concurrency);
    return made;
  }

  void call() {
    Peer& client = *clients_[pick(kPrograms)];
    std::string payload = std::to_string(++calls_) + ":";
    if (pick(8) == 0) payload.append(pick(100'000), 'x');
    CallWith with;
    if (pick(4) == 0) with.options = protocol::kStreamOptionWait;
    if (pick(10) == 0) with.options = protocol::kStreamOptionPin;
    if (pick(3) == 0) with.deadline = Duration(1ms) * (1 + pick(3000));
    const std::size_t index = client.call("s" + std::to_string(pick(2)), "M", payload, with);
    client.answers[index].sent = payload;
  }

  template <class Start>
  void replace(std::unique_ptr<Peer>& program, Start start) {
    retire(std::move(program));
    program = start();
  }

  void retire(std::unique_ptr<Peer> program) {
    network_.cut(program->wire);
    gone_.push_back(std::move(program));
  }

  void check_answers() {
    std::set<std::string> seen;
    for (const auto& program : gone_)
      seen.insert(program->payloads.begin(), program->payloads.end());
    for (const auto& program : gone_) {
      for (const Answer& answer : program->answers) {
        ASSERT_EQ(answer.count, 1) << "outcomes of " << answer.sent.substr(0, 10);
        if (answer.code == StatusCode::ok) {
          EXPECT_EQ(answer.payload, answer.sent) << "another call's answer";
          EXPECT_TRUE(seen.contains(answer.sent));
        } else if (answer.outcome == Outcome::not_executed) {
          EXPECT_FALSE(seen.contains(answer.sent))
              << answer.sent.substr(0, 10) << " was executed, but: " << answer.text;
        }
      }
    }
  }

  std::uint32_t shards_;
  VirtualNetwork network_;
  std::vector<std::unique_ptr<Peer>> clients_;
  std::vector<std::unique_ptr<Peer>> services_;
  std::vector<std::unique_ptr<Peer>> gone_;
  std::uint64_t calls_ = 0;
};

void run_world(std::uint64_t seed) {
  SCOPED_TRACE("replay with VALKYRIE_SEED=" + std::to_string(seed));
  World world(seed);
  for (int i = 0; i < kSteps; ++i) world.step();
  world.check();
}

TEST(RouterFaults, every_call_gets_exactly_one_true_outcome_and_nothing_is_kept) {
  if (const char* seed = std::getenv("VALKYRIE_SEED")) return run_world(std::stoull(seed));
  for (std::uint64_t seed = 1; seed <= kWorlds && !HasFailure(); ++seed) run_world(seed);
}

}  // namespace
}  // namespace valkyrie::simulation
