#include "tools/valkyrie/job_run.h"

#include <cstdio>
#include <fmt/format.h>
#include <optional>
#include <span>
#include <thread>
#include <variant>

#include "protocol/hex_text.h"
#include "tools/valkyrie/interrupt.h"

namespace valkyrie::tools {

namespace {

using RunStream = Stream<Bytes, Bytes>;

// Prints what a job says. One event at a time, in order.
class Follower {
 public:
  // `output`: prints the job's own.
  explicit Follower(const Globals& globals, bool output = true)
      : globals_(globals), output_(output) {}

  void operator()(const messages::Accepted& event) {
    job_ = event.job;
    say(json::object{{"event", "accepted"}, {"job", event.job}},
        fmt::format("accepted as {}", event.job));
  }
  void operator()(const messages::Waiting& event) {
    say(json::object{{"event", "waiting"},
                     {"reason", messages::to_string(event.reason)},
                     {"text", event.text},
                     {"runners", event.runners},
                     {"runners_matching", event.runners_matching}},
        fmt::format("waits: {}", event.text));
  }
  void operator()(const messages::Assigned& event) {
    say(json::object{{"event", "assigned"},
                     {"runner", event.runner},
                     {"attempt", event.attempt},
                     {"wait_us", static_cast<double>(event.wait_ns) / 1e3}},
        fmt::format("on {} (attempt {})", event.runner, event.attempt));
  }
  void operator()(const messages::Running& event) {
    const auto took = Duration(static_cast<std::int64_t>(event.dispatch_ns));
    say(json::object{{"event", "running"},
                     {"dispatch_us", static_cast<double>(event.dispatch_ns) / 1e3}},
        fmt::format("runner has it {} after submit", human_duration(took)));
  }
  void operator()(const messages::Output& event) {
    if (!output_) return;
    if (machine()) {
      print_json(json::object{{"event", "output"},
                              {"stream", messages::to_string(event.stream)},
                              {"offset", event.offset},
                              {"data", bytes_json(event.data)}});
      return;
    }
    std::FILE* to = event.stream == messages::OutputStream::err ? stderr : stdout;
    std::fwrite(event.data.data(), 1, event.data.size(), to);
    std::fflush(to);
  }
  void operator()(const messages::Cancelling& event) {
    say(json::object{{"event", "cancelling"}, {"text", event.text}},
        fmt::format("cancelling: {}", event.text));
  }
  void operator()(const messages::Ended& event) {
    result_ = event.result;
    json::object ended = result_json(event.result);
    ended["event"] = "ended";
    ended["job"] = job_;
    say(ended, result_text(event.result));
  }

  void operator()(const messages::CaughtUp&) { caught_up_ = true; }

  [[nodiscard]] const std::optional<messages::JobResult>& result() const { return result_; }
  [[nodiscard]] bool caught_up() const { return caught_up_; }

 private:
  [[nodiscard]] bool machine() const {
    return globals_.format == Format::json || globals_.format == Format::jsonl;
  }
  // For programs every event is a line on standard output; for people a remark on standard error.
  void say(const json::object& event, const std::string& text) {
    if (machine()) {
      print_json(event);
      std::fflush(stdout);
    } else {
      note(globals_, "job: " + text);  // Between the lines of the command's own.
    }
  }

  const Globals& globals_;
  bool output_;
  bool caught_up_ = false;
  std::string job_;
  std::optional<messages::JobResult> result_;
};

// Whether the command ran to an exit of its own, whose code counts.
bool exited(const messages::JobResult& result) {
  return result.state == messages::JobState::succeeded ||
         result.reason == messages::EndReason::exit;
}

int exit_code_of(const messages::JobResult& result, bool interrupted) {
  if (interrupted) return kExitInterrupted;
  return exited(result) ? result.exit_code : kExitNoJobStatus;
}

// Reads events until the stream ends, or until what there was has been read. The status that ended
// it, if it was not clean.
std::optional<Status> follow(RunStream& stream, Follower& follower, bool to_the_end = true) {
  for (;;) {
    if (!to_the_end && follower.caught_up()) return std::nullopt;
    auto message = stream.read().wait();
    if (!message) return message.error();
    if (!*message) return std::nullopt;
    const auto event = messages::decode<messages::JobEvent>(BytesView(**message).span());
    if (!event) return Status(StatusCode::internal, "the node's event cannot be read");
    std::visit(follower, *event);
  }
}

}  // namespace

messages::JobSpec spec_of(const JobRunArguments& arguments) {
  messages::JobSpec spec{
      .name = arguments.name, .argv = arguments.argv, .environment = arguments.environment};
  for (const auto& [name, value] : arguments.labels) {
    spec.require.push_back(fmt::format("{}={}", name, value));
  }
  spec.timeout_run_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(arguments.timeout).count());
  return spec;
}

int watch_job(const Globals& globals, const JobWatchArguments& arguments) {
  auto client = connect(globals);
  if (!client) return client.error();
  RunStream stream = client->stream("valkyrie.Jobs/Watch", {.deadline = kNoDeadline});
  const messages::WatchJobRequest request{.job = arguments.job, .offset = arguments.from};
  auto begun = stream.write(Bytes::take(messages::encode(request))).wait();
  if (!begun) return report(begun.error());
  Follower follower(globals, arguments.output);
  const auto failure = follow(stream, follower, arguments.follow);
  if (failure) return report(*failure);
  if (!arguments.follow) return kExitDone;
  if (follower.result()) return exit_code_of(*follower.result(), /*interrupted=*/false);
  return report(Status(StatusCode::internal, "the job's events ended without a result"));
}

int run_job(const Globals& globals, const JobRunArguments& arguments) {
  if (arguments.argv.front().empty()) {
    print_error("the job's command is empty; see valkyrie job run --help");
    return kExitUsage;
  }
  auto client = connect(globals);
  if (!client) return client.error();
  RunStream stream = client->stream("valkyrie.Jobs/Run", {.deadline = kNoDeadline});
  const Interrupt interrupt;
  auto begun = stream
                   .write(Bytes::take(messages::encode(
                       messages::RunInput{messages::RunRequest{spec_of(arguments)}})))
                   .wait();
  if (!begun) return report(begun.error());
  // Reading blocks this thread, so another one waits for Ctrl-C.
  std::jthread canceller([&] {
    if (!interrupt.wait()) return;
    note(globals, "job: interrupted, so it is cancelled; again: end without waiting for its end");
    const std::string cancel = messages::encode(messages::RunInput{messages::CancelRequest{}});
    (void)stream.write(Bytes::copy(cancel)).wait();
  });
  Follower follower(globals);
  const auto failure = follow(stream, follower);
  interrupt.wake();
  canceller.join();
  if (follower.result()) return exit_code_of(*follower.result(), interrupt.requested());
  const Status status =
      failure.value_or(Status(StatusCode::internal, "the job's events ended without a result"));
  (void)report(status);
  return kExitNoJobStatus;
}

std::string result_text(const messages::JobResult& result) {
  std::string text(messages::to_string(result.state));
  if (result.reason != messages::EndReason::none) {
    text += fmt::format(" ({})", messages::to_string(result.reason));
  }
  if (exited(result)) {
    text += fmt::format(", exit {}", result.exit_code);
  } else if (!result.text.empty()) {
    text += fmt::format(": {}", result.text);
  }
  const auto length = [](std::uint64_t ns) {
    return human_duration(Duration(static_cast<std::int64_t>(ns)));
  };
  if (result.duration_ns != 0) {
    text += fmt::format(", took {}, cpu {} user {} system, memory {:.1f} MiB",
                        length(result.duration_ns), length(result.usage.user_ns),
                        length(result.usage.system_ns),
                        static_cast<double>(result.usage.memory_peak_bytes) / (1 << 20));
  }
  return text;
}

json::object result_json(const messages::JobResult& result) {
  return {{"state", messages::to_string(result.state)},
          {"reason", messages::to_string(result.reason)},
          {"text", result.text},
          {"exit_code", result.exit_code},
          {"signal", result.signal},
          {"duration_ms", static_cast<double>(result.duration_ns) / 1e6},
          {"output_bytes", result.output_bytes},
          {"log_sha256", protocol::hex_text(std::as_bytes(std::span(result.log_sha256)))},
          {"user_ms", static_cast<double>(result.usage.user_ns) / 1e6},
          {"system_ms", static_cast<double>(result.usage.system_ns) / 1e6},
          {"memory_peak_bytes", result.usage.memory_peak_bytes},
          {"evidence", json::object{{"method", result.evidence.method},
                                    {"complete", result.evidence.complete},
                                    {"leftovers", result.evidence.leftovers}}}};
}

}  // namespace valkyrie::tools
