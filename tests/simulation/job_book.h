// Every job of a world: who submitted it, which runner had it, what its log was, how it ended. What
// cannot be true throws a Violation at the moment it is told.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/messages/jobs.h"

namespace valkyrie::simulation {

// Names a job in its world; never 0.
using JobNumber = std::uint64_t;

// A job and what became of it.
struct JobTruth {
  JobNumber number = 0;
  std::uint32_t submitter = 0;
  bool must_succeed = false;     // Nothing in this world excuses another end.
  bool cancel_asked = false;     // Somebody wanted it to stop,
  bool given_up = false;         // or its stream is over before its end.
  bool refused = false;          // Never accepted.
  std::uint32_t runner = 0;      // The program that was told to start it; 0: none.
  std::uint64_t token = 0;       // Under which it was.
  bool runner_lost = false;      // The runner's stream or session is over.
  std::uint64_t log_bytes = 0;   // That the runner has sent,
  bool runner_ended = false;     // which has said that it is over.
  std::int32_t exit_code = 0;    // As the runner said.
  std::uint64_t received = 0;    // Bytes of log that the submitter has.
  bool ended = false;            // The submitter was told.
  messages::JobResult result{};  // And this is how.
};

// See the top of the file.
class JobBook {
 public:
  // A submitter is about to submit a job.
  JobTruth& submit(std::uint32_t submitter, bool must_succeed);
  // What is to be run, and back.
  static messages::JobSpec spec_of(const JobTruth& job, std::string require);
  JobTruth& of(const messages::JobSpec& spec);
  // The job with this number; a Violation if there is none.
  JobTruth& of(JobNumber number);

  // A runner was told to start a job.
  JobTruth& started(std::uint32_t runner, const messages::Start& start);
  // A submitter got some of the log, and the end.
  void got_output(JobTruth& job, const messages::Output& output);
  void got_end(JobTruth& job, const messages::JobResult& result);

  // The node drains: it may stop any job.
  void drain() { drained_ = true; }
  // Whether anybody wanted the job to stop.
  [[nodiscard]] bool may_be_stopped(const JobTruth& job) const {
    return job.cancel_asked || drained_;
  }

  // At the end of the world: each job that somebody waits for has its end, and each end is true.
  void check_all_over() const;
  // All jobs, in the order they were submitted.
  [[nodiscard]] const std::vector<JobTruth>& jobs() const { return jobs_; }

 private:
  std::vector<JobTruth> jobs_;
  bool drained_ = false;
};

// Bytes of a job's log from an offset on.
std::string log_bytes(JobNumber number, std::uint64_t offset, std::size_t size);

}  // namespace valkyrie::simulation
