// A program of a world that submits jobs and reads their logs, often slowly.
#pragma once

#include <map>
#include <string>

#include "tests/simulation/job_book.h"
#include "tests/simulation/program.h"

namespace valkyrie::simulation {

// See the top of the file.
class Submitter final : public WorldProgram {
 public:
  using WorldProgram::WorldProgram;

  // Submits a job for runners that meet `require`, or any if it is empty.
  void submit(const std::string& require, bool must_succeed);
  // Asks to stop one of its jobs, or all, with so much time between TERM and KILL.
  void cancel_any(Duration grace);
  void cancel_all();
  // Leaves the stream of one of its jobs: END, or else RESET.
  void leave_any(bool in_order);

 private:
  // How far the events of a job have come.
  enum class Stage : std::uint8_t { submitted, accepted, assigned, running, ended };
  struct Run {
    JobNumber job = 0;
    Stage stage = Stage::submitted;
    bool cancelling = false;
  };

  void on_program_event(const protocol::Event& event) override;
  void on_job_event(Run& run, const messages::JobEvent& event);
  void on_stream_over(std::uint32_t stream, Run run, const protocol::Event& event);
  void cancel(std::uint32_t stream, const Run& run, Duration grace);
  void advance(Run& run, Stage from, Stage to);

  std::map<std::uint32_t, Run> runs_;  // By stream.
};

}  // namespace valkyrie::simulation
