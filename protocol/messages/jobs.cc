#include "protocol/messages/jobs.h"

#include <algorithm>

#include "protocol/messages/jobs_fields.h"

namespace valkyrie::messages {

std::string_view to_string(JobState state) {
  switch (state) {
    case JobState::unspecified:
      return "unspecified";
    case JobState::blocked:
      return "blocked";
    case JobState::queued:
      return "queued";
    case JobState::offered:
      return "offered";
    case JobState::assigned:
      return "assigned";
    case JobState::running:
      return "running";
    case JobState::finishing:
      return "finishing";
    case JobState::succeeded:
      return "succeeded";
    case JobState::failed:
      return "failed";
    case JobState::retry_wait:
      return "retry_wait";
    case JobState::cancelling:
      return "cancelling";
    case JobState::cancelled:
      return "cancelled";
    case JobState::cancel_unverified:
      return "cancel_unverified";
    case JobState::skipped:
      return "skipped";
  }
  return "unknown";
}

std::string_view to_string(EndReason reason) {
  switch (reason) {
    case EndReason::none:
      return "none";
    case EndReason::exit:
      return "exit";
    case EndReason::signal:
      return "signal";
    case EndReason::oom:
      return "oom";
    case EndReason::timeout_queue:
      return "timeout_queue";
    case EndReason::timeout_start:
      return "timeout_start";
    case EndReason::timeout_run:
      return "timeout_run";
    case EndReason::timeout_silence:
      return "timeout_silence";
    case EndReason::runner_lost:
      return "runner_lost";
    case EndReason::prepare:
      return "prepare";
    case EndReason::disk_full:
      return "disk_full";
    case EndReason::log_limit:
      return "log_limit";
    case EndReason::dependency:
      return "dependency";
  }
  return "unknown";
}

std::string_view to_string(WaitReason reason) {
  switch (reason) {
    case WaitReason::unspecified:
      return "unspecified";
    case WaitReason::no_match:
      return "no_match";
    case WaitReason::no_capacity:
      return "no_capacity";
    case WaitReason::behind:
      return "behind";
    case WaitReason::draining:
      return "draining";
  }
  return "unknown";
}

std::string_view to_string(OutputStream stream) {
  switch (stream) {
    case OutputStream::merged:
      return "merged";
    case OutputStream::out:
      return "out";
    case OutputStream::err:
      return "err";
    case OutputStream::background:
      return "background";
    case OutputStream::system:
      return "system";
  }
  return "unknown";
}

bool is_end(JobState state) {
  return state == JobState::succeeded || state == JobState::failed ||
         state == JobState::cancelled || state == JobState::cancel_unverified ||
         state == JobState::skipped;
}

namespace {

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

}  // namespace

template <>
void check(const JobSpec& spec) {
  if (spec.argv.empty() && spec.commands.empty()) throw Refusal{DecodeError::missing};
  if (!spec.argv.empty() && !spec.commands.empty()) throw Refusal{DecodeError::value};
  if (!spec.argv.empty() && spec.argv.front().empty()) throw Refusal{DecodeError::value};
  const bool bad_word =
      std::ranges::any_of(spec.argv, has_nul) || std::ranges::any_of(spec.commands, has_nul);
  const bool bad_variable = std::ranges::any_of(spec.environment, [](const NameValue& variable) {
    return variable.first.find('=') != std::string::npos || has_nul(variable.first) ||
           has_nul(variable.second);
  });
  if (bad_word || bad_variable) throw Refusal{DecodeError::value};
}

// A spec that is absent is never looked at by itself.
template <>
void check(const RunRequest& request) {
  check(request.spec);
}

template <>
void check(const SubmitRequest& request) {
  if (request.specs.empty()) throw Refusal{DecodeError::missing};
  std::ranges::for_each(request.specs, [](const JobSpec& spec) { check(spec); });
}

template <>
void check(const Start& start) {
  check(start.spec);
}

template <>
void check(const RunnerHello& hello) {
  if (hello.name.empty() || hello.instance.empty()) throw Refusal{DecodeError::missing};
}

std::string encode(const JobSpec& spec) { return encode_described(spec); }
std::string encode(const RunInput& input) { return encode_described(input); }
std::string encode(const JobEvent& event) { return encode_described(event); }
std::string encode(const SubmitRequest& request) { return encode_described(request); }
std::string encode(const SubmitReply& reply) { return encode_described(reply); }
std::string encode(const WatchJobRequest& request) { return encode_described(request); }
std::string encode(const JobView& view) { return encode_described(view); }
std::string encode(const JobResult& result) { return encode_described(result); }
std::string encode(const ListJobsRequest& request) { return encode_described(request); }
std::string encode(const ListJobsReply& reply) { return encode_described(reply); }
std::string encode(const GetJobRequest& request) { return encode_described(request); }
std::string encode(const CancelJobRequest& request) { return encode_described(request); }
std::string encode(const CancelJobReply& reply) { return encode_described(reply); }
std::string encode(const ListRunnersRequest& request) { return encode_described(request); }
std::string encode(const ListRunnersReply& reply) { return encode_described(reply); }
std::string encode(const RunnerMessage& message) { return encode_described(message); }
std::string encode(const NodeMessage& message) { return encode_described(message); }

#define VALKYRIE_DECODE(T)                                                    \
  template <>                                                                 \
  std::expected<T, DecodeError> decode<T>(std::span<const std::byte> bytes) { \
    return decode_described<T>(bytes);                                        \
  }
VALKYRIE_DECODE(JobSpec)
VALKYRIE_DECODE(RunInput)
VALKYRIE_DECODE(JobEvent)
VALKYRIE_DECODE(SubmitRequest)
VALKYRIE_DECODE(SubmitReply)
VALKYRIE_DECODE(WatchJobRequest)
VALKYRIE_DECODE(JobView)
VALKYRIE_DECODE(JobResult)
VALKYRIE_DECODE(ListJobsRequest)
VALKYRIE_DECODE(ListJobsReply)
VALKYRIE_DECODE(GetJobRequest)
VALKYRIE_DECODE(CancelJobRequest)
VALKYRIE_DECODE(CancelJobReply)
VALKYRIE_DECODE(ListRunnersRequest)
VALKYRIE_DECODE(ListRunnersReply)
VALKYRIE_DECODE(RunnerMessage)
VALKYRIE_DECODE(NodeMessage)
#undef VALKYRIE_DECODE

}  // namespace valkyrie::messages
