// The fields of the messages of jobs.h, once for both directions (archive.h). Private to this
// folder.
#pragma once

#include "protocol/messages/archive.h"
#include "protocol/messages/jobs.h"

namespace valkyrie::messages {

template <class A>
void describe(A& a, Ref<A, JobSpec> m) {
  a.text(1, m.name, kNameBytesMax);
  a.byte_strings(2, m.argv, kSpecEntriesMax, kJobSpecBytesMax);
  a.byte_strings(3, m.commands, kSpecEntriesMax, kJobSpecBytesMax);
  a.pairs(4, m.environment, kSpecEntriesMax, kJobSpecBytesMax);
  a.texts(5, m.require, kLabelsMax, kNameBytesMax);
  a.number(6, m.timeout_queue_ms, kTimeoutMsMax);
  a.number(7, m.timeout_start_ms, kTimeoutMsMax);
  a.number(8, m.timeout_run_ms, kTimeoutMsMax);
}

template <class A>
void describe(A& a, Ref<A, RunRequest> m) {
  a.message(1, m.spec, kJobSpecBytesMax);
}

template <class A>
void describe(A& a, Ref<A, CancelRequest> m) {
  a.number(1, m.grace_ms, kTimeoutMsMax);
}

template <class A>
void describe(A& a, Ref<A, SubmitRequest> m) {
  a.messages(1, m.specs, kSubmitJobsMax, kJobSpecBytesMax);
  a.text(2, m.key, kNameBytesMax);
  a.enumeration(3, m.ack, Ack::received);
}

template <class A>
void describe(A& a, Ref<A, SubmitReply> m) {
  a.texts(1, m.jobs, kSubmitJobsMax, kNameBytesMax);
  a.boolean(2, m.known);
  a.enumeration(3, m.ack, Ack::received);
}

template <class A>
void describe(A& a, Ref<A, WatchJobRequest> m) {
  a.text(1, m.job, kNameBytesMax);
  a.number(2, m.offset);
}

template <class A>
void describe(A& a, Ref<A, Accepted> m) {
  a.text(1, m.job, kNameBytesMax);
}

template <class A>
void describe(A& a, Ref<A, Waiting> m) {
  a.enumeration(1, m.reason, WaitReason::draining);
  a.text(2, m.text, kTextBytesMax);
  a.number(3, m.runners);
  a.number(4, m.runners_matching);
}

template <class A>
void describe(A& a, Ref<A, Assigned> m) {
  a.text(1, m.runner, kNameBytesMax);
  a.number(2, m.attempt);
  a.number(3, m.wait_ns);
}

template <class A>
void describe(A& a, Ref<A, Running> m) {
  a.number(1, m.dispatch_ns);
}

template <class A>
void describe(A& a, Ref<A, Output> m) {
  a.enumeration(1, m.stream, OutputStream::system);
  a.number(2, m.offset);
  a.bytes(3, m.data, kChunkBytesMax);
}

template <class A>
void describe(A& a, Ref<A, Cancelling> m) {
  a.text(1, m.text, kTextBytesMax);
}

template <class A>
void describe(A& a, Ref<A, Usage> m) {
  a.number(1, m.user_ns);
  a.number(2, m.system_ns);
  a.number(3, m.memory_peak_bytes);
}

template <class A>
void describe(A& a, Ref<A, SignalSent> m) {
  a.number(1, m.signal);
  a.number(2, m.after_ms);
  a.number(3, m.processes);
}

template <class A>
void describe(A& a, Ref<A, Survivor> m) {
  a.number(1, m.pid);
  a.text(2, m.state, kNameBytesMax);
  a.text(3, m.wait_channel, kNameBytesMax);
  a.text(4, m.command, kNameBytesMax);
}

template <class A>
void describe(A& a, Ref<A, Evidence> m) {
  a.text(1, m.method, kNameBytesMax);
  a.boolean(2, m.complete);
  a.messages(3, m.signals, kEvidenceEntriesMax);
  a.number(4, m.leftovers);
  a.boolean(5, m.init_reaped);
  a.boolean(6, m.workspace_removed);
  a.messages(7, m.survivors, kEvidenceEntriesMax);
}

template <class A>
void describe(A& a, Ref<A, JobResult> m) {
  a.enumeration(1, m.state, JobState::skipped);
  a.enumeration(2, m.reason, EndReason::dependency);
  a.text(3, m.text, kTextBytesMax);
  a.integer(4, m.exit_code);
  a.number(5, m.signal);
  a.number(6, m.duration_ns);
  a.number(7, m.output_bytes);
  a.message(8, m.usage);
  a.message(9, m.evidence);
  a.bytes(10, m.log_sha256, 32);
}

template <class A>
void describe(A& a, Ref<A, Ended> m) {
  a.message(1, m.result);
}

template <class A>
void describe(A&, Ref<A, CaughtUp>) {}

template <class A>
void describe(A& a, Ref<A, JobView> m) {
  a.text(1, m.job, kNameBytesMax);
  a.text(2, m.name, kNameBytesMax);
  a.enumeration(3, m.state, JobState::skipped);
  a.number(4, m.attempt);
  a.text(5, m.runner, kNameBytesMax);
  a.number(6, m.submitted_unix_ms);
  a.number(7, m.age_ns);
  a.message(8, m.waiting);
  a.message(9, m.result);
  a.texts(10, m.require, kLabelsMax, kNameBytesMax);
}

template <class A>
void describe(A& a, Ref<A, ListJobsRequest> m) {
  a.number(1, m.limit, static_cast<std::uint32_t>(kListEntriesMax));
  a.boolean(2, m.live_only);
}

template <class A>
void describe(A& a, Ref<A, ListJobsReply> m) {
  a.messages(1, m.jobs, kListEntriesMax);
  a.number(2, m.total);
}

template <class A>
void describe(A& a, Ref<A, GetJobRequest> m) {
  a.text(1, m.job, kNameBytesMax);
}

template <class A>
void describe(A& a, Ref<A, CancelJobRequest> m) {
  a.text(1, m.job, kNameBytesMax);
  a.number(2, m.grace_ms, kTimeoutMsMax);
}

template <class A>
void describe(A& a, Ref<A, CancelJobReply> m) {
  a.text(1, m.job, kNameBytesMax);
  a.enumeration(2, m.state, JobState::skipped);
}

template <class A>
void describe(A&, Ref<A, ListRunnersRequest>) {}

template <class A>
void describe(A& a, Ref<A, RunnerView> m) {
  a.text(1, m.name, kNameBytesMax);
  a.text(2, m.boot_id, kNameBytesMax);
  a.text(3, m.version, kNameBytesMax);
  a.text(4, m.isolation, kNameBytesMax);
  a.number(5, m.slots);
  a.number(6, m.slots_busy);
  a.boolean(7, m.draining);
  a.pairs(8, m.labels, kLabelsMax, kNameBytesMax);
  a.texts(9, m.jobs, kRunnerSlotsMax, kNameBytesMax);
  a.number(10, m.age_ns);
}

template <class A>
void describe(A& a, Ref<A, ListRunnersReply> m) {
  a.messages(1, m.runners, kListEntriesMax);
}

template <class A>
void describe(A& a, Ref<A, RunnerHello> m) {
  a.text(1, m.name, kNameBytesMax);
  a.text(2, m.instance, kNameBytesMax);
  a.text(3, m.boot_id, kNameBytesMax);
  a.text(4, m.version, kNameBytesMax);
  a.text(5, m.isolation, kNameBytesMax);
  a.number(6, m.slots, kRunnerSlotsMax);
  a.pairs(7, m.labels, kLabelsMax, kNameBytesMax);
}

template <class A>
void describe(A& a, Ref<A, RunnerReady> m) {
  a.number(1, m.slots, kRunnerSlotsMax);
}

template <class A>
void describe(A& a, Ref<A, AttemptStarted> m) {
  a.number(1, m.token);
  a.number(2, m.held_ns);
}

template <class A>
void describe(A& a, Ref<A, Chunk> m) {
  a.number(1, m.token);
  a.enumeration(2, m.stream, OutputStream::system);
  a.number(3, m.offset);
  a.bytes(4, m.data, kChunkBytesMax);
}

template <class A>
void describe(A& a, Ref<A, AttemptFinishing> m) {
  a.number(1, m.token);
}

template <class A>
void describe(A& a, Ref<A, AttemptEnded> m) {
  a.number(1, m.token);
  a.message(2, m.result);
}

template <class A>
void describe(A& a, Ref<A, Welcome> m) {
  a.text(1, m.node, kNameBytesMax);
}

template <class A>
void describe(A& a, Ref<A, Start> m) {
  a.number(1, m.token);
  a.text(2, m.job, kNameBytesMax);
  a.number(3, m.attempt);
  a.message(4, m.spec, kJobSpecBytesMax);
  a.number(5, m.output_limit);
  a.boolean(6, m.hold);
}

template <class A>
void describe(A& a, Ref<A, Go> m) {
  a.number(1, m.token);
}

template <class A>
void describe(A& a, Ref<A, Window> m) {
  a.number(1, m.token);
  a.number(2, m.output_limit);
}

template <class A>
void describe(A& a, Ref<A, CancelAttempt> m) {
  a.number(1, m.token);
  a.number(2, m.grace_ms, kTimeoutMsMax);
  a.text(3, m.text, kTextBytesMax);
}

template <class A>
void describe(A& a, Ref<A, Settled> m) {
  a.number(1, m.token);
}

template <class A>
void describe(A&, Ref<A, Drain>) {}

}  // namespace valkyrie::messages
