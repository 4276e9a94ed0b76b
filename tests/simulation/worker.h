// A runner of a world: takes jobs, writes their logs as far as its windows let it, stops when told,
// and loses all it has when it is lost.
#pragma once

#include <map>
#include <string>

#include "tests/simulation/job_book.h"
#include "tests/simulation/program.h"

namespace valkyrie::simulation {

// See the top of the file.
class Worker final : public WorldProgram {
 public:
  using WorldProgram::WorldProgram;

  // Registers under a name; the same name and instance supersede an earlier one. `log_bytes_max`
  // bounds the log of each job it will run.
  void join(const std::string& name, std::uint32_t slots, const std::string& zone,
            std::uint64_t log_bytes_max);
  // Takes so many jobs at a time from now on.
  void offer_slots(std::uint32_t slots);
  // From now on its jobs do nothing but end.
  void hurry();
  // True once the node has welcomed it and until its stream is over.
  [[nodiscard]] bool joined() const { return joined_; }

  [[nodiscard]] std::optional<Instant> deadline() const override;
  void on_deadline() override;

 private:
  enum class State : std::uint8_t { fresh, running, finishing, ended };
  struct Attempt {
    JobNumber job = 0;
    State state = State::fresh;
    std::uint64_t log_left = 0;
    std::uint64_t cost = 0;   // Of the chunks sent,
    std::uint64_t limit = 0;  // which may not pass this.
    bool stopped = false;
  };

  void on_program_event(const protocol::Event& event) override;
  void on_message(const messages::NodeMessage& message);
  void start(const messages::Start& start);
  void schedule(std::uint64_t token, Duration within);
  void step(std::uint64_t token);
  bool send(const messages::RunnerMessage& message);
  bool write_log(std::uint64_t token, Attempt& attempt);
  bool end(std::uint64_t token, Attempt& attempt);
  void lose_all();

  std::uint32_t stream_ = 0;
  std::uint32_t slots_ = 0;
  std::uint32_t slots_most_ = 0;  // That a Start under way may rely on.
  std::uint64_t log_bytes_max_ = 0;
  std::map<std::uint64_t, Attempt> attempts_;  // By token.
  std::multimap<Instant, std::uint64_t> steps_;
  bool joined_ = false;
  bool hurried_ = false;
};

}  // namespace valkyrie::simulation
