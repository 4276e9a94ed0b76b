// What callers and services of a world have in common: a connection, its streams, credit that they
// give back at once or late, and a session whose end must have an honest reason.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/simulation/job_book.h"
#include "tests/simulation/ledger.h"
#include "tests/simulation/stream_book.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/virtual_network.h"

namespace valkyrie::simulation {

// What programs of a world share. All outlive them.
struct Surroundings {
  VirtualNetwork& network;
  Ledger& ledger;
  JobBook& jobs;
  StreamBook& streams;
  const Trace& trace;
  bool patient = false;  // Nobody stalls or vanishes here, so nobody may be given up for it.
};

// A program with one connection.
class WorldProgram : public Program {
 public:
  WorldProgram(Surroundings around, std::uint32_t number, std::uint32_t shard,
               const protocol::SessionConfig& config);
  WorldProgram(const WorldProgram&) = delete;
  WorldProgram& operator=(const WorldProgram&) = delete;

  void on_event(const protocol::Event& event) final;

  // Its connection.
  [[nodiscard]] Wire& wire() { return wire_; }
  // Its number in the world.
  [[nodiscard]] std::uint32_t number() const { return number_; }
  // True once its session is over.
  [[nodiscard]] bool closed() const { return closed_; }
  // True once the node said that it drains, or this side did.
  [[nodiscard]] bool draining() const { return draining_; }

  // From now on credit is given back as it comes, or is kept until it is.
  void give_credit(bool at_once);
  // Ends its session in order, after `grace` at the latest.
  void drain(Duration grace);

  // With nothing under way: credit is back, nothing is held, nothing is queued.
  void check_idle();

 protected:
  virtual void on_program_event(const protocol::Event& event) = 0;
  [[nodiscard]] std::uint64_t pick(std::uint64_t below) { return around_.network.random() % below; }
  [[nodiscard]] protocol::Session& session() { return wire_.near; }
  [[nodiscard]] Instant now() const { return around_.network.now; }
  // Gives back what a message cost, now or later.
  void consume(const protocol::Event& event);
  // Opens a stream of kind `stream`; 0 if that is not possible now.
  std::uint32_t open_stream(std::string_view service, std::string_view method);
  // Sends a message on it; whether the session took it.
  bool send_message(std::uint32_t stream, std::string_view body);
  // The message that `event`, of type data, completes.
  std::optional<std::string> whole_message(const protocol::Event& event);
  // A stream of this side, so that check_idle() looks at its credit until forget_stream().
  void note_stream(std::uint32_t stream) { streams_.insert(stream); }
  void forget_stream(std::uint32_t stream) { streams_.erase(stream); }

  Surroundings around_;

 private:
  struct Debt {
    std::uint32_t stream = 0;
    std::uint32_t bytes = 0;
  };

  const std::uint32_t number_;
  const std::uint32_t node_window_;
  const std::uint32_t own_window_;
  Wire& wire_;
  std::set<std::uint32_t> streams_;
  std::vector<Debt> debts_;
  std::map<std::uint32_t, std::string> parts_;  // Of messages that go on, by stream.
  bool keeps_credit_ = false;
  bool closed_ = false;
  bool draining_ = false;
};

}  // namespace valkyrie::simulation
