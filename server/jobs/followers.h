// Who reads jobs: streams that are told what becomes of one job and given its output.
//
// Events go out in the order in which they were told; output comes from the log's store, as fast as
// its reader takes it, and the end comes after the last byte. What promises a change waits until
// the job store has it. Pure; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "protocol/messages/jobs.h"
#include "server/jobs/job_id.h"
#include "server/jobs/job_store.h"
#include "server/jobs/log_store.h"

namespace valkyrie::jobs {

// The caller's number for a stream that reads a job; never used for another.
using FollowerId = std::uint64_t;

// Bytes of a log that are read ahead for one follower: what it costs the node not to read on.
inline constexpr std::size_t kFollowerReadBytes = 64u << 10;

// See the top of the file.
class Followers {
 public:
  // Both outlive this.
  Followers(const JobStore& store, LogStore& logs) : store_(store), logs_(logs) {}

  // Begins to read a job. REQUIRES: the id is new
  void add(FollowerId id, const JobId& job);
  // Reads no more. Unknown ones are ignored.
  void remove(FollowerId id);
  // The job that it reads; nullopt: it does not, or no longer.
  [[nodiscard]] std::optional<JobId> job_of(FollowerId id) const;

  // Tells one follower something, once change `after` is durable. Ended comes after all output that
  // it counts, and nothing follows it.
  void tell(FollowerId id, messages::JobEvent event, Change after = 0);
  // Tells it that it has caught up, once it has the output that was written by now.
  void tell_caught_up(FollowerId id);
  // Tells all that read a job.
  void tell_all(const JobId& job, const messages::JobEvent& event, Change after = 0);
  // From here on a follower is given the log of this attempt, from byte `offset` up to `written`
  // and what is written later.
  void open_log(FollowerId id, std::uint32_t attempt, std::uint64_t offset, std::uint64_t written);
  // The same for all that read the job, from the log's begin.
  void open_log_for_all(const JobId& job, std::uint32_t attempt);

  // News of the log store: true if they were for a follower.
  void on_grew(const LogGrew& news);
  void on_read(LogRead news);
  void on_read_failed(const LogReadFailed& news);
  // The job store has more changes.
  void on_durable();

  // Which follower has something to take that had nothing before; nullopt: none.
  std::optional<FollowerId> poll_ready();
  // A follower whose log cannot be read, and why; it is forgotten. nullopt: none.
  std::optional<std::pair<FollowerId, std::string>> poll_lost();
  // What it would take next, or nullptr. Borrowed until the next call.
  [[nodiscard]] const messages::JobEvent* next(FollowerId id) const;
  // Takes it. After Ended the follower is forgotten. REQUIRES: next(id) is not nullptr
  void take(FollowerId id);
  // How many events wait for the job store at the head of their line.
  [[nodiscard]] std::size_t held() const { return held_.size(); }

 private:
  struct Told {
    messages::JobEvent event;
    Change after = 0;
    std::uint64_t log_until = 0;  // Has its turn once the log was given up to here.
  };
  struct Follower {
    JobId job;
    std::deque<Told> told;
    std::deque<messages::JobEvent> output;  // Of the log, up to `read`.
    std::uint32_t attempt = 0;              // Whose log; 0: none yet.
    std::uint64_t read = 0;
    std::uint64_t written = 0;
    bool reading = false;
    bool ends_short = false;  // A crash took what the job's result still counts.
    bool announced = false;
  };

  [[nodiscard]] static std::uint64_t readable(const Follower& follower);
  [[nodiscard]] const Told* due(const Follower& follower) const;
  void refresh(FollowerId id, Follower& follower);

  const JobStore& store_;
  LogStore& logs_;
  std::unordered_map<FollowerId, Follower> followers_;
  std::map<JobId, std::set<FollowerId>> by_job_;
  std::set<std::pair<Change, FollowerId>> held_;
  std::unordered_map<ReadTicket, FollowerId> reads_;
  ReadTicket next_ticket_ = 1;
  std::deque<FollowerId> ready_;
  std::deque<std::pair<FollowerId, std::string>> lost_;
};

}  // namespace valkyrie::jobs
