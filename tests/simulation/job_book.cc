#include "tests/simulation/job_book.h"

#include <charconv>

#include "tests/simulation/violation.h"

namespace valkyrie::simulation {

using messages::EndReason;
using messages::JobState;

JobTruth& JobBook::submit(std::uint32_t submitter, bool must_succeed) {
  JobTruth& job = jobs_.emplace_back();
  job.number = jobs_.size();
  job.submitter = submitter;
  job.must_succeed = must_succeed;
  return job;
}

messages::JobSpec JobBook::spec_of(const JobTruth& job, std::string require) {
  messages::JobSpec spec;
  spec.name = "job";
  spec.argv = {"job", std::to_string(job.number)};
  if (!require.empty()) spec.require = {std::move(require)};
  return spec;
}

JobTruth& JobBook::of(const messages::JobSpec& spec) {
  require(spec.argv.size() == 2, "a job came with {} arguments", spec.argv.size());
  JobNumber number = 0;
  std::from_chars(spec.argv[1].data(), spec.argv[1].data() + spec.argv[1].size(), number);
  return of(number);
}

JobTruth& JobBook::of(JobNumber number) {
  require(number > 0 && number <= jobs_.size(), "no job has the number {}", number);
  return jobs_[number - 1];
}

JobTruth& JobBook::started(std::uint32_t runner, const messages::Start& start) {
  JobTruth& job = of(start.spec);
  require(job.runner == 0, "job {} was started by runner {} and then by {}", job.number, job.runner,
          runner);
  // What was on its way to a runner that was given up may still be read there.
  require(!job.ended || job.result.reason == EndReason::runner_lost ||
              job.result.state == JobState::cancel_unverified,
          "job {} has ended as {}; then runner {} was told to start it", job.number,
          to_string(job.result.state), runner);
  job.runner = runner;
  job.token = start.token;
  return job;
}

void JobBook::got_output(JobTruth& job, const messages::Output& output) {
  require(!job.ended, "output of job {} came after its end", job.number);
  require(output.offset == job.received, "output of job {} goes on at {} after {} bytes",
          job.number, output.offset, job.received);
  require(output.data == log_bytes(job.number, output.offset, output.data.size()),
          "output of job {} at {} is not what its runner sent", job.number, output.offset);
  job.received += output.data.size();
  require(job.received <= job.log_bytes, "job {} has more output than its runner sent", job.number);
}

void JobBook::got_end(JobTruth& job, const messages::JobResult& result) {
  require(!job.ended, "job {} ended as {} and again as {}", job.number, to_string(job.result.state),
          to_string(result.state));
  job.ended = true;
  job.result = result;
  require(is_end(result.state), "job {} ended as {}", job.number, to_string(result.state));
  require(result.output_bytes == job.received, "job {}: {} bytes of output came, {} are said",
          job.number, job.received, result.output_bytes);
  require(!job.must_succeed || result.state == JobState::succeeded,
          "job {} ended as {}, {}; nothing stood in its way", job.number, to_string(result.state),
          to_string(result.reason));
  if (result.state == JobState::succeeded ||
      (result.state == JobState::failed && result.reason == EndReason::exit)) {
    require(job.runner_ended && job.received == job.log_bytes,
            "job {} ended as {} with {} of {} bytes of its log", job.number,
            to_string(result.state), job.received, job.log_bytes);
    require(result.exit_code == job.exit_code, "job {} exited with {}, not with {}", job.number,
            job.exit_code, result.exit_code);
  }
  if (result.state == JobState::cancelled || result.state == JobState::cancel_unverified) {
    require(may_be_stopped(job), "job {} was cancelled by nobody", job.number);
  }
}

void JobBook::check_all_over() const {
  for (const JobTruth& job : jobs_) {
    if (!job.given_up && !job.refused) require(job.ended, "job {} never ended", job.number);
    if (!job.ended) continue;
    // Where no runner got it, the one it was on its way to was lost.
    require(job.result.reason != EndReason::runner_lost || job.runner_lost || job.runner == 0,
            "job {} ended as runner_lost, but runner {} lives", job.number, job.runner);
    require(job.result.evidence.method != "never_started" || job.runner == 0,
            "job {} never started, it is said; but runner {} had it", job.number, job.runner);
  }
}

std::string log_bytes(JobNumber number, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint64_t at = offset + i;
    bytes[i] = static_cast<char>((at * 131 + (at >> 8U) * 31 + number * 17) & 0xFFU);
  }
  return bytes;
}

}  // namespace valkyrie::simulation
