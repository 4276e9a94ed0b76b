// The job plane: takes jobs, matches them with runners, follows each attempt to its one end.
//
// Pure: no clock, thread, socket or file. Calls and moments go in; what to send is pulled out, so
// that a reader without credit holds its own job back and nobody else. One thread at a time.
//
// A loop around it: give it what streams bring; then, until poll_ready() is empty, pull what the
// named stream has credit for; call on_deadline() at deadline(), and on_durable() when the store
// has brought changes to safety. The rules are docs/spec/jobs.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "protocol/constants.h"
#include "protocol/messages/jobs.h"
#include "protocol/time.h"
#include "server/jobs/followers.h"
#include "server/jobs/job_id.h"
#include "server/jobs/job_store.h"
#include "server/jobs/log_store.h"
#include "server/jobs/queue.h"

namespace valkyrie::jobs {

// The caller's number for a Runners/Work stream; never used for another.
using RunnerId = std::uint64_t;
// No runner's number.
inline constexpr RunnerId kNoRunner = ~RunnerId{0};

// Jobs that are not over, at most: each keeps a record of up to kJobSpecBytesMax.
inline constexpr std::size_t kLiveJobsMax = 100'000;
// How long a submitter's key is remembered, and how many are at most.
inline constexpr std::uint64_t kSubmitKeyMs = 24ull * 3600 * 1000;
inline constexpr std::size_t kSubmitKeysMax = 4'000'000;
// Bytes of the specs of jobs that are not over, at most.
inline constexpr std::size_t kLiveSpecBytesMax = 256u << 20;
// Runners connected at a time: a submit may look at each.
inline constexpr std::size_t kRunnersMax = 4096;
// Ended jobs that stay visible; the oldest end is forgotten first.
inline constexpr std::size_t kEndedJobsKept = 1000;
// What an attempt may have sent beyond what its log's store has written, in chunk cost: what the
// node holds in memory for a disk that is slow.
inline constexpr std::uint64_t kOutputWindowBytes = 256u << 10;
// The largest log of an attempt; one that writes more is stopped.
inline constexpr std::uint64_t kLogBytesMaxDefault = 1u << 30;
// Times of a job that asks for none, and the plane's own patience.
inline constexpr protocol::Duration kTimeoutQueueDefault = std::chrono::hours(24);
inline constexpr protocol::Duration kTimeoutStartDefault = std::chrono::minutes(5);
inline constexpr protocol::Duration kTimeoutRunDefault = std::chrono::hours(1);
// TERM to KILL.
inline constexpr std::uint64_t kGraceMsDefault = 10'000;
// The runner enforces the run timeout; the node so much later.
inline constexpr protocol::Duration kTimeoutRunMargin = std::chrono::seconds(30);
// The longest that a runner without contact may go on with an attempt: 60 s of lease, 1 % for
// clocks that drift, and 5 s for the way.
inline constexpr protocol::Duration kLeaseLost = std::chrono::milliseconds(65'600);
// After the grace: the runner proves within 10 s, and 5 s for the way.
inline constexpr protocol::Duration kProofTimeout = std::chrono::seconds(15);

// An answer that is no: a status for the peer, with a text for a person.
struct Refused {
  protocol::StatusCode code = protocol::StatusCode::unknown;
  std::string text;
};

// A Refused as a function returns it.
[[nodiscard]] inline std::unexpected<Refused> refuse(protocol::StatusCode code, std::string text) {
  return std::unexpected(Refused{code, std::move(text)});
}

// An answer that is true once a change is durable; not to be sent before.
template <class T>
struct Promise {
  T answer;
  Change after = 0;
};

// Somebody has something to take; see JobPlane::poll_ready.
struct FollowerReady {
  FollowerId stream = 0;
};
// A reader's stream must be ended with this status; the plane has forgotten it.
struct FollowerDismissed {
  FollowerId stream = 0;
  Refused why;
};
// As FollowerReady.
struct RunnerReadyToTake {
  RunnerId runner = 0;
};
// The runner's stream must be reset with this reason; the plane has forgotten it.
struct RunnerDismissed {
  RunnerId runner = 0;
  Refused why;
};
// What poll_ready says.
using Ready = std::variant<FollowerReady, FollowerDismissed, RunnerReadyToTake, RunnerDismissed>;

// What the plane is told about its surroundings.
struct JobPlaneOptions {
  std::string node;             // Its name, told to runners.
  std::uint16_t node_bits = 0;  // 12 bits of job ids that tell nodes apart.
  std::uint32_t epoch = 0;      // 24 bits, higher at each start of the node: leads the tokens.
  std::function<std::uint64_t()> unix_ms;  // Wall time, for ids alone.
  std::function<std::uint64_t()> random;   // For ids.
  std::size_t ended_jobs_kept = kEndedJobsKept;
  std::uint64_t log_bytes_max = kLogBytesMaxDefault;
};

// Numbers for metrics.
struct JobPlaneCounts {
  std::size_t queued = 0;
  std::size_t live = 0;  // Not over, the queued ones included.
  std::size_t runners = 0;
  std::size_t slots = 0;
  std::size_t slots_busy = 0;
  std::uint64_t submitted = 0;
  std::uint64_t ended = 0;
  std::size_t held = 0;     // Messages that wait for the store.
  std::uint64_t stale = 0;  // Messages about attempts that are no longer anyone's.
};

// The constraints of a spec. The error, for people: which is none.
[[nodiscard]] std::expected<std::vector<Constraint>, std::string> constraints_of(
    const messages::JobSpec& spec);
// Why a job with new constraints cannot wait here.
[[nodiscard]] std::string too_many_shapes();

// See the top of the file.
class JobPlane {
 public:
  // Both stores outlive the plane.
  JobPlane(JobPlaneOptions options, JobStore& store, LogStore& logs);

  // What the store held when it was opened. Before anything else, at most once.
  void recover(StoredJobs stored, protocol::Instant now);
  // The job store says that more of its changes are durable.
  void on_durable();
  // The log store has news: polls them.
  void on_log_news();

  // A Jobs/Run stream's request. The job's id; its events follow on the stream. Refused: nothing
  // happened; end the stream with that status.
  std::expected<JobId, Refused> submit(FollowerId stream, messages::JobSpec spec,
                                       protocol::Instant now);
  // Jobs/Submit: all of them or none, for `submitter`, the value of its IDENTITY. `key` is that of
  // the request, if it has one. Errors: ALREADY_EXISTS for a key with another body, and what
  // submit() says.
  std::expected<Promise<messages::SubmitReply>, Refused> submit_all(messages::SubmitRequest request,
                                                                    std::string submitter,
                                                                    std::optional<SubmitKey> key,
                                                                    protocol::Instant now);
  // A Jobs/Run stream's CancelRequest.
  void cancel_run(FollowerId stream, const messages::CancelRequest& request, protocol::Instant now);
  // A Jobs/Watch stream's request: what becomes of a job from here on, and its output from a byte
  // on; of an ended one its end. Refused: end the stream with that status.
  std::expected<void, Refused> watch(FollowerId stream, const messages::WatchJobRequest& request);
  // The Jobs/Run or Jobs/Watch stream is over. A job that the stream owns is cancelled unless it
  // has ended. Unknown ones are ignored.
  void follower_left(FollowerId stream, protocol::Instant now);

  // Jobs/Cancel. Idempotent; of an ended job the answer is its state.
  std::expected<Promise<messages::CancelJobReply>, Refused> cancel(
      const messages::CancelJobRequest& request, protocol::Instant now);
  // Jobs/Get.
  [[nodiscard]] std::expected<messages::JobView, Refused> get(
      const messages::GetJobRequest& request, protocol::Instant now) const;
  // Jobs/List.
  [[nodiscard]] messages::ListJobsReply list(const messages::ListJobsRequest& request,
                                             protocol::Instant now) const;
  // Runners/List.
  [[nodiscard]] messages::ListRunnersReply list_runners(protocol::Instant now) const;

  // A message of a Runners/Work stream. Refused: the runner broke the rules or cannot be taken;
  // reset the stream with that status, the plane has already ended its attempts.
  std::expected<void, Refused> runner_message(RunnerId runner, messages::RunnerMessage message,
                                              protocol::Instant now);
  // The stream or its session is over: its attempts end as runner_lost, now. Unknown ones are
  // ignored.
  void runner_left(RunnerId runner, protocol::Instant now);

  // The node goes down: nothing is placed from here on, submits are refused, runners are told.
  void drain(protocol::Instant now);

  // Which stream has something to take that had nothing before; nullopt: none. Edge-triggered:
  // whoever runs out of credit comes back by itself when credit comes.
  std::optional<Ready> poll_ready();
  // What the stream would take next, or nullptr. Borrowed until the next call on the plane.
  [[nodiscard]] const messages::JobEvent* next_event(FollowerId stream) const {
    return followers_.next(stream);
  }
  // Takes it: its bytes have left. After Ended the stream is forgotten.
  // REQUIRES: next_event(stream) is not nullptr
  void take_event(FollowerId stream);
  // As next_event and take_event, for a runner.
  [[nodiscard]] const messages::NodeMessage* next_message(RunnerId runner) const;
  // REQUIRES: next_message(runner) is not nullptr
  void take_message(RunnerId runner);

  // When to call on_deadline; nullopt: never.
  [[nodiscard]] std::optional<protocol::Instant> deadline() const;
  // Does what is due.
  void on_deadline(protocol::Instant now);

  // Numbers for metrics.
  [[nodiscard]] JobPlaneCounts counts() const;

 private:
  // A job that is not over.
  struct Live {
    JobRecord* record = nullptr;  // In records_; never null.
    std::optional<FollowerId> owner;
    Change saved = 0;        // The latest of its changes.
    Shape* shape = nullptr;  // While queued.
    protocol::Instant submitted;
    std::size_t spec_bytes = 0;
    protocol::Duration timeout_start{};
    protocol::Duration timeout_run{};
    bool started = false;                       // The current attempt.
    std::optional<protocol::Instant> deadline;  // Also in deadlines_.
  };
  // A token that holds a slot: its job is live, or ended without proof.
  struct Attempt {
    JobId job;
    RunnerId runner = kNoRunner;  // kNoRunner: the node restarted, and it has not come back.
    bool live = true;
    bool waits_for_go = false;  // Offered; its assignment is not durable yet.
    LogId log;
    std::uint64_t received = 0;       // Bytes of output,
    std::uint64_t written = 0;        // that its log's store has for readers.
    std::uint64_t cost_received = 0;  // Chunk costs,
    std::uint64_t cost_written = 0;   // and of those the store has written.
    std::uint64_t cost_limit = 0;     // Last told to the runner.
    // Chunks that are not written yet: where each ends, and its cost.
    std::deque<std::pair<std::uint64_t, std::uint64_t>> unwritten{};
    std::optional<messages::JobResult> result{};  // Came; the log is being brought to safety.
  };
  // What an earlier submit with a key was answered.
  using KeyDigest = decltype(SubmitKey::key);
  struct KnownSubmit {
    decltype(SubmitKey::body) body{};
    std::vector<JobId> jobs;
    Change after = 0;
  };
  // What becomes possible once a change is durable: an attempt's `go`, a runner's leave to forget
  // an attempt.
  struct GoDue {
    std::uint64_t token = 0;
  };
  struct SettledDue {
    RunnerId runner = 0;
    std::uint64_t token = 0;
  };
  using Held = std::variant<GoDue, SettledDue>;
  struct Runner {
    messages::RunnerHello hello;
    Labels labels;  // The hello's and those the node adds.
    protocol::Instant joined;
    std::uint32_t slots = 0;
    std::set<std::uint64_t> tokens;
    std::deque<messages::NodeMessage> outbox;
    bool announced = false;
  };

  // job_plane.cc: jobs.
  [[nodiscard]] std::optional<Refused> why_not_submit(std::size_t jobs,
                                                      std::size_t spec_bytes) const;
  [[nodiscard]] bool is_durable(Change change) const { return change <= store_.durable(); }
  void save(Live& live, std::uint64_t token);
  void when_durable(Change change, Held held);
  void release(const Held& held);
  Live& adopt(JobRecord record, Shape* shape, protocol::Instant submitted);
  void set_deadline(Live& live, std::optional<protocol::Instant> at);
  void leave_queue(Live& live);
  void stop_job(Row row, Stop stop, std::uint64_t grace_ms, protocol::Instant now);
  void end_job(Row row, messages::JobResult result);
  void end_unstarted(Row row, messages::JobState state, messages::EndReason reason,
                     std::string text);
  void expire(Row row, protocol::Instant now);
  void emit(const Live& live, const messages::JobEvent& event);

  // job_submit.cc
  std::expected<Shape*, Refused> enter_queue(Row row, const messages::JobSpec& spec);
  Live& accept(messages::JobSpec spec, std::string submitter, std::optional<SubmitKey> key,
               bool owned, Shape* shape, protocol::Instant now);
  void remember(const SubmitKey& key, const JobId& id);
  void forget_old_keys();

  // job_recovery.cc
  void recover_keys(const StoredJobs& stored);
  void recover_job(JobRecord record, protocol::Instant submitted, protocol::Instant now);
  void recover_attempt(Live& live, protocol::Instant now);

  // job_views.cc: what can be asked.
  void tell_why(Shape& shape);
  void tell_why_all();
  [[nodiscard]] messages::Waiting why(const Shape& shape) const;
  [[nodiscard]] messages::JobView view(const JobRecord& record, protocol::Instant now) const;
  [[nodiscard]] std::expected<JobId, Refused> resolve(std::string_view text) const;
  // Calls `visit` for records of a range, the newest first, until it returns false.
  void visit(const JobIdRange& range, const std::function<bool(const JobRecord&)>& visit) const;

  // runners.cc: runners and attempts.
  std::expected<void, Refused> hello(RunnerId id, messages::RunnerHello message,
                                     protocol::Instant now);
  std::expected<void, Refused> on_message(RunnerId id, messages::RunnerMessage message,
                                          protocol::Instant now);
  std::expected<void, Refused> on_started(RunnerId id, const messages::AttemptStarted& message,
                                          protocol::Instant now);
  std::expected<void, Refused> on_chunk(RunnerId id, messages::Chunk chunk, protocol::Instant now);
  void on_finishing(RunnerId id, const messages::AttemptFinishing& message);
  std::expected<void, Refused> on_ended(RunnerId id, messages::AttemptEnded message,
                                        protocol::Instant now);
  void note_late_evidence(const Attempt& attempt, std::uint64_t token,
                          const messages::JobResult& result);
  [[nodiscard]] Attempt* find_attempt(RunnerId runner, std::uint64_t token);
  void free_slot(RunnerId id, std::uint64_t token, protocol::Instant now);
  void fill(RunnerId id, protocol::Instant now);
  void place(Row row, protocol::Instant now);
  void assign(Row row, RunnerId id, protocol::Instant now);
  void go(std::uint64_t token);
  void send(RunnerId id, messages::NodeMessage message);

  // job_logs.cc: output, and ends that wait for it.
  void keep_output(std::uint64_t token, Attempt& attempt, messages::Chunk chunk, std::uint64_t cost,
                   protocol::Instant now);
  void open_window(std::uint64_t token, Attempt& attempt);
  [[nodiscard]] bool waits_for_disk(const Live& live) const;
  void on_grew(const LogGrew& news);
  void on_safe(const LogSafe& news);
  void finish_attempt(std::uint64_t token, messages::JobResult result, protocol::Instant now);
  void settle(std::uint64_t token);
  static messages::JobResult conclude(const std::optional<Stop>& stop, messages::JobResult result);
  void lose_attempt(std::uint64_t token, std::string text);

  JobPlaneOptions options_;
  JobStore& store_;
  LogStore& logs_;
  Followers followers_;
  bool disk_stalled_ = false;
  bool draining_ = false;
  Row next_row_ = 1;
  std::uint64_t next_token_ = 1;
  std::uint64_t last_unix_ms_ = 0;
  Change last_change_ = 0;
  std::size_t live_spec_bytes_ = 0;
  std::map<JobId, JobRecord> records_;
  std::map<Row, Live> live_;
  std::multimap<Change, Held> held_;
  Queue queue_;
  std::deque<JobId> ended_;
  // By SubmitKey::key; rows of one request follow each other. And keys by age, oldest first.
  std::map<KeyDigest, KnownSubmit> known_;
  std::deque<std::pair<std::uint64_t, KeyDigest>> known_since_;
  std::unordered_map<std::uint64_t, Attempt> attempts_;
  std::multimap<std::string, std::uint64_t> unreachable_;  // Tokens by the name of their runner.
  std::map<LogId, std::uint64_t> logs_open_;  // Tokens by log, of logs that are not safe yet.
  std::map<RunnerId, Runner> runners_;
  std::set<std::pair<protocol::Instant, Row>> deadlines_;
  std::deque<Ready> ready_;
  std::uint64_t submitted_count_ = 0;
  std::uint64_t ended_count_ = 0;
  std::uint64_t stale_count_ = 0;
};

}  // namespace valkyrie::jobs
