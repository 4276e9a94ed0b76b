// Bodies of valkyrie.Jobs and valkyrie.Runners: plain values and their encoding. Field by field
// as in docs/spec/jobs.proto; what they mean is docs/spec/jobs.md.
//
// No I/O, no clock, no threads. Every function may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/messages/decode_error.h"

namespace valkyrie::messages {

// Full names of the services, as STREAM_OPEN carries them.
inline constexpr std::string_view kJobsService = "valkyrie.Jobs";
inline constexpr std::string_view kRunnersService = "valkyrie.Runners";

// Bytes of one encoded JobSpec: what a record may cost the node while the job is kept.
inline constexpr std::size_t kJobSpecBytesMax = 64u << 10;
// Arguments, shell lines or variables of a spec, each list by itself: far above what an exec takes
// in practice, low enough that empty entries cannot multiply a body's size in memory.
inline constexpr std::size_t kSpecEntriesMax = 1024;
// Constraints of a spec and labels of a runner: matching reads them all.
inline constexpr std::size_t kLabelsMax = 64;
// Bytes of a name, a label's name or value, a constraint, an id.
inline constexpr std::size_t kNameBytesMax = 256;
// Bytes of a text meant for a person.
inline constexpr std::size_t kTextBytesMax = 1024;
// Bytes of output in one Chunk or Output, so that a chunk is one frame under the smallest limit.
inline constexpr std::size_t kChunkBytesMax = 32u << 10;
// What a chunk costs of its attempt's window beside its data, so that tiny chunks cannot multiply
// memory.
inline constexpr std::uint64_t kChunkCostBytes = 256;
// Signals and survivors an Evidence lists; a cancel sends few, survivors beyond these are counted
// in its text.
inline constexpr std::size_t kEvidenceEntriesMax = 64;
// Jobs in one answer to List; runners likewise.
inline constexpr std::size_t kListEntriesMax = 1000;
// Jobs of one SubmitRequest.
inline constexpr std::size_t kSubmitJobsMax = 1000;
// Slots of one runner.
inline constexpr std::uint32_t kRunnerSlotsMax = 1024;
// Every duration a client may ask for, milliseconds: 30 days.
inline constexpr std::uint64_t kTimeoutMsMax = 30ull * 24 * 3600 * 1000;

// Where a job stands. Values are part of the protocol: never renumber.
enum class JobState : std::uint8_t {
  unspecified = 0,
  blocked,
  queued,
  offered,
  assigned,
  running,
  finishing,
  succeeded,
  failed,
  retry_wait,
  cancelling,
  cancelled,
  cancel_unverified,
  skipped,
};

// Why a job is `failed`. Values are part of the protocol: never renumber.
enum class EndReason : std::uint8_t {
  none = 0,
  exit,
  signal,
  oom,
  timeout_queue,
  timeout_start,
  timeout_run,
  timeout_silence,
  runner_lost,
  prepare,
  disk_full,
  log_limit,
  dependency,
};

// Why a job waits. Values are part of the protocol: never renumber.
enum class WaitReason : std::uint8_t { unspecified = 0, no_match, no_capacity, behind, draining };

// Which of an attempt's streams bytes belong to. Values are part of the protocol: never renumber.
enum class OutputStream : std::uint8_t { merged = 0, out, err, background, system };

// The one word used in bodies for people, logs and metrics.
[[nodiscard]] std::string_view to_string(JobState state);
[[nodiscard]] std::string_view to_string(EndReason reason);
[[nodiscard]] std::string_view to_string(WaitReason reason);
[[nodiscard]] std::string_view to_string(OutputStream stream);

// True for states that no event can change again but late evidence (cancel_unverified).
[[nodiscard]] bool is_end(JobState state);

// A name with a value: a label, a variable. Variables' values may be any bytes without NUL.
using NameValue = std::pair<std::string, std::string>;

// What to run. Exactly one of `argv` and `commands` has entries.
struct JobSpec {
  std::string name;                    // For people; may be empty.
  std::vector<std::string> argv;       // Executed as it stands; no NUL.
  std::vector<std::string> commands;   // Lines for one `sh -eu`.
  std::vector<NameValue> environment;  // Names without '=', neither with NUL.
  std::vector<std::string> require;    // Constraints on the runner, `key=value`.
  std::uint64_t timeout_queue_ms = 0;  // 0: the node's default.
  std::uint64_t timeout_start_ms = 0;
  std::uint64_t timeout_run_ms = 0;

  bool operator==(const JobSpec&) const = default;
};

// First message of Jobs/Run.
struct RunRequest {
  JobSpec spec;
  bool operator==(const RunRequest&) const = default;
};

// Later messages of Jobs/Run: stop the job.
struct CancelRequest {
  std::optional<std::uint64_t> grace_ms;  // Between TERM and KILL; nullopt: 10 s.
  bool operator==(const CancelRequest&) const = default;
};

// What a client sends on Jobs/Run.
using RunInput = std::variant<RunRequest, CancelRequest>;

// First event: the job exists.
struct Accepted {
  std::string job;
  bool operator==(const Accepted&) const = default;
};

// The job waits, and why; sent again when that changes.
struct Waiting {
  WaitReason reason = WaitReason::unspecified;
  std::string text;
  std::uint32_t runners = 0;
  std::uint32_t runners_matching = 0;
  bool operator==(const Waiting&) const = default;
};

// The node wrote the job to a runner.
struct Assigned {
  std::string runner;
  std::uint32_t attempt = 0;  // From 1.
  std::uint64_t wait_ns = 0;  // Submit until written.
  bool operator==(const Assigned&) const = default;
};

// The runner executes it.
struct Running {
  std::uint64_t dispatch_ns = 0;  // Submit until the runner had it; includes the way back.
  bool operator==(const Running&) const = default;
};

// Bytes of the job's output, gapless in the order of `offset`.
struct Output {
  OutputStream stream = OutputStream::merged;
  std::uint64_t offset = 0;  // Of the first byte, in the attempt's whole log.
  std::string data;          // At most kChunkBytesMax.
  bool operator==(const Output&) const = default;
};

// Somebody wants the job to stop; proof follows as Ended.
struct Cancelling {
  std::string text;
  bool operator==(const Cancelling&) const = default;
};

// What an attempt used.
struct Usage {
  std::uint64_t user_ns = 0;
  std::uint64_t system_ns = 0;
  std::uint64_t memory_peak_bytes = 0;
  bool operator==(const Usage&) const = default;
};

// A signal sent while stopping an attempt.
struct SignalSent {
  std::uint32_t signal = 0;
  std::uint64_t after_ms = 0;  // Since stopping began.
  std::uint32_t processes = 0;
  bool operator==(const SignalSent&) const = default;
};

// A process that was still there when the runner gave up.
struct Survivor {
  std::uint32_t pid = 0;
  std::string state;
  std::string wait_channel;
  std::string command;
  bool operator==(const Survivor&) const = default;
};

// What proves that nothing of an attempt is left.
struct Evidence {
  std::string method;     // never_started, namespace, process_group, presumed.
  bool complete = false;  // Proven: no process of the attempt exists.
  std::vector<SignalSent> signals;
  std::uint32_t leftovers = 0;  // Outlived the leader and were killed.
  bool init_reaped = false;
  bool workspace_removed = false;
  std::vector<Survivor> survivors;
  bool operator==(const Evidence&) const = default;
};

// How a job or an attempt ended.
struct JobResult {
  JobState state = JobState::unspecified;
  EndReason reason = EndReason::none;
  std::string text;               // For people: what failed and how.
  std::int32_t exit_code = 0;     // Of the leader, where it exited.
  std::uint32_t signal = 0;       // That ended the leader; 0: none.
  std::uint64_t duration_ns = 0;  // Of the attempt's leader.
  std::uint64_t output_bytes = 0;
  Usage usage;
  Evidence evidence;
  std::string log_sha256;  // Of the output, 32 bytes; the node adds it. Empty: there was none.
  bool operator==(const JobResult&) const = default;
};

// Last event.
struct Ended {
  JobResult result;
  bool operator==(const Ended&) const = default;
};

// Of Jobs/Watch: what was true and written when the watch began has been said.
struct CaughtUp {
  bool operator==(const CaughtUp&) const = default;
};

// What the node sends on Jobs/Run and Jobs/Watch.
using JobEvent =
    std::variant<Accepted, Waiting, Assigned, Running, Output, Cancelling, Ended, CaughtUp>;

// What a submit waits for. Values are part of the protocol: never renumber.
enum class Ack : std::uint8_t {
  persisted = 0,  // The jobs survive the death of node and machine.
  received = 1,   // The node has them in memory.
};

// Body of Jobs/Submit: jobs that belong to nobody's stream, all of them or none.
struct SubmitRequest {
  std::vector<JobSpec> specs;  // At least 1.
  std::string key;             // Idempotency key of the submitter's choice; may be empty.
  Ack ack = Ack::persisted;
  bool operator==(const SubmitRequest&) const = default;
};

// Answer of Jobs/Submit, in the order of the specs.
struct SubmitReply {
  std::vector<std::string> jobs;
  bool known = false;        // By their key: an earlier request made them.
  Ack ack = Ack::persisted;  // What is promised: no more than was asked for, or the node can.
  bool operator==(const SubmitReply&) const = default;
};

// First and only message of Jobs/Watch.
struct WatchJobRequest {
  std::string job;           // Whole or any unique prefix.
  std::uint64_t offset = 0;  // First byte of output that is wanted.
  bool operator==(const WatchJobRequest&) const = default;
};

// A job as lists show it.
struct JobView {
  std::string job;
  std::string name;
  JobState state = JobState::unspecified;
  std::uint32_t attempt = 0;  // 0: never placed.
  std::string runner;
  std::uint64_t submitted_unix_ms = 0;
  std::uint64_t age_ns = 0;         // Since the submit.
  std::optional<Waiting> waiting;   // While queued.
  std::optional<JobResult> result;  // Once ended.
  std::vector<std::string> require;
  bool operator==(const JobView&) const = default;
};

// Body of Jobs/List.
struct ListJobsRequest {
  std::uint32_t limit = 0;  // 0: 100; at most kListEntriesMax.
  bool live_only = false;
  bool operator==(const ListJobsRequest&) const = default;
};

// Answer of Jobs/List, newest first.
struct ListJobsReply {
  std::vector<JobView> jobs;
  std::uint64_t total = 0;  // That exist, shown or not.
  bool operator==(const ListJobsReply&) const = default;
};

// Body of Jobs/Get, answered by a JobView.
struct GetJobRequest {
  std::string job;  // Whole or any unique prefix.
  bool operator==(const GetJobRequest&) const = default;
};

// Body of Jobs/Cancel.
struct CancelJobRequest {
  std::string job;
  std::optional<std::uint64_t> grace_ms;
  bool operator==(const CancelJobRequest&) const = default;
};

// Answer of Jobs/Cancel: the state right after.
struct CancelJobReply {
  std::string job;
  JobState state = JobState::unspecified;
  bool operator==(const CancelJobReply&) const = default;
};

// Body of Runners/List.
struct ListRunnersRequest {
  bool operator==(const ListRunnersRequest&) const = default;
};

// A runner as lists show it.
struct RunnerView {
  std::string name;
  std::string boot_id;
  std::string version;
  std::string isolation;
  std::uint32_t slots = 0;
  std::uint32_t slots_busy = 0;
  bool draining = false;
  std::vector<NameValue> labels;
  std::vector<std::string> jobs;
  std::uint64_t age_ns = 0;
  bool operator==(const RunnerView&) const = default;
};

// Answer of Runners/List, by name.
struct ListRunnersReply {
  std::vector<RunnerView> runners;
  bool operator==(const ListRunnersReply&) const = default;
};

// First message of Runners/Work.
struct RunnerHello {
  std::string name;
  std::string instance;  // Random, new for each start of the program.
  std::string boot_id;
  std::string version;
  std::string isolation;  // namespace, cgroup, none.
  std::uint32_t slots = 0;
  std::vector<NameValue> labels;
  bool operator==(const RunnerHello&) const = default;
};

// Attempts the runner takes at a time from here on; 0: it drains.
struct RunnerReady {
  std::uint32_t slots = 0;
  bool operator==(const RunnerReady&) const = default;
};

// The leader runs.
struct AttemptStarted {
  std::uint64_t token = 0;
  std::uint64_t held_ns = 0;  // From having the assignment until this message.
  bool operator==(const AttemptStarted&) const = default;
};

// Output of an attempt; within its Window, gapless.
struct Chunk {
  std::uint64_t token = 0;
  OutputStream stream = OutputStream::merged;
  std::uint64_t offset = 0;
  std::string data;
  bool operator==(const Chunk&) const = default;
};

// The leader is over or is being stopped; tail and result follow.
struct AttemptFinishing {
  std::uint64_t token = 0;
  bool operator==(const AttemptFinishing&) const = default;
};

// Last message of an attempt, after its last Chunk.
struct AttemptEnded {
  std::uint64_t token = 0;
  JobResult result;
  bool operator==(const AttemptEnded&) const = default;
};

// What a runner sends on Runners/Work.
using RunnerMessage =
    std::variant<RunnerHello, RunnerReady, AttemptStarted, Chunk, AttemptFinishing, AttemptEnded>;

// The runner is registered.
struct Welcome {
  std::string node;
  bool operator==(const Welcome&) const = default;
};

// Run this: the offer and, unless `hold`, its `go` in one. A held one may be prepared, as far as
// nothing of the user's runs and no secret is needed.
struct Start {
  std::uint64_t token = 0;
  std::string job;
  std::uint32_t attempt = 0;
  JobSpec spec;
  std::uint64_t output_limit = 0;  // As in Window.
  bool hold = false;               // Wait for Go.
  bool operator==(const Start&) const = default;
};

// The assignment of a held attempt is durable: execute it.
struct Go {
  std::uint64_t token = 0;
  bool operator==(const Go&) const = default;
};

// Output the attempt may have sent in total, each chunk counting kChunkCostBytes and its data; only
// rises.
struct Window {
  std::uint64_t token = 0;
  std::uint64_t output_limit = 0;
  bool operator==(const Window&) const = default;
};

// Stop the attempt's whole tree.
struct CancelAttempt {
  std::uint64_t token = 0;
  std::uint64_t grace_ms = 0;  // Between TERM and KILL.
  std::string text;
  bool operator==(const CancelAttempt&) const = default;
};

// The node has the result; the runner may forget the attempt.
struct Settled {
  std::uint64_t token = 0;
  bool operator==(const Settled&) const = default;
};

// No Start follows on this stream.
struct Drain {
  bool operator==(const Drain&) const = default;
};

// What the node sends on Runners/Work.
using NodeMessage = std::variant<Welcome, Start, Window, CancelAttempt, Settled, Drain, Go>;

// The body as it goes into a message. What is over a limit is the caller's error to prevent: it
// would be refused by whoever decodes it.
[[nodiscard]] std::string encode(const JobSpec& spec);
[[nodiscard]] std::string encode(const RunInput& input);
[[nodiscard]] std::string encode(const JobEvent& event);
[[nodiscard]] std::string encode(const SubmitRequest& request);
[[nodiscard]] std::string encode(const SubmitReply& reply);
[[nodiscard]] std::string encode(const WatchJobRequest& request);
[[nodiscard]] std::string encode(const JobView& view);
[[nodiscard]] std::string encode(const JobResult& result);
[[nodiscard]] std::string encode(const ListJobsRequest& request);
[[nodiscard]] std::string encode(const ListJobsReply& reply);
[[nodiscard]] std::string encode(const GetJobRequest& request);
[[nodiscard]] std::string encode(const CancelJobRequest& request);
[[nodiscard]] std::string encode(const CancelJobReply& reply);
[[nodiscard]] std::string encode(const ListRunnersRequest& request);
[[nodiscard]] std::string encode(const ListRunnersReply& reply);
[[nodiscard]] std::string encode(const RunnerMessage& message);
[[nodiscard]] std::string encode(const NodeMessage& message);

}  // namespace valkyrie::messages
