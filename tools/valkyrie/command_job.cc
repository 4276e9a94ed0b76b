#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "protocol/messages/jobs.h"
#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/job_run.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/options.h"

namespace valkyrie::tools {

namespace {

// Calls a unary method of valkyrie.Jobs and decodes its answer; an exit code if that fails.
template <class Reply, class Request>
std::expected<Reply, int> ask(const Globals& globals, const char* target, const Request& request) {
  auto client = connect(globals);
  if (!client) return std::unexpected(client.error());
  const auto reply =
      client->call(target, messages::encode(request), {.deadline = globals.timeout}).wait();
  if (!reply) return std::unexpected(report(reply.error()));
  auto decoded = messages::decode<Reply>(BytesView(*reply).span());
  if (!decoded) {
    print_error("the node's answer cannot be read; is it of a newer version?");
    return std::unexpected(kExitStatusBase + static_cast<int>(StatusCode::internal));
  }
  return std::move(*decoded);
}

json::object job_json(const messages::JobView& job) {
  json::object object{{"job", job.job},
                      {"name", job.name},
                      {"state", messages::to_string(job.state)},
                      {"attempt", job.attempt},
                      {"runner", job.runner},
                      {"submitted_unix_ms", job.submitted_unix_ms},
                      {"age_seconds", static_cast<double>(job.age_ns) / 1e9}};
  if (job.waiting) object["waiting"] = job.waiting->text;
  if (job.result) object["result"] = result_json(*job.result);
  return object;
}

std::string job_remark(const messages::JobView& job) {
  if (job.waiting) return job.waiting->text;
  return job.result ? job.result->text : "";
}

int run_ls(const Globals& globals, bool live_only) {
  const auto reply = ask<messages::ListJobsReply>(
      globals, "valkyrie.Jobs/List", messages::ListJobsRequest{.live_only = live_only});
  if (!reply) return reply.error();
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    json::array rows;
    for (const messages::JobView& job : reply->jobs) rows.push_back(job_json(job));
    print_json_rows(globals.format, rows);
    return kExitDone;
  }
  Table table({"JOB", "STATE", "RUNNER", "AGE", "REMARK"});
  for (const messages::JobView& job : reply->jobs) {
    table.add({job.job, std::string(messages::to_string(job.state)),
               job.runner.empty() ? "-" : job.runner,
               human_duration(Duration(static_cast<std::int64_t>(job.age_ns))), job_remark(job)});
  }
  table.print();
  return kExitDone;
}

int run_show(const Globals& globals, const std::string& id) {
  const auto job =
      ask<messages::JobView>(globals, "valkyrie.Jobs/Get", messages::GetJobRequest{.job = id});
  if (!job) return job.error();
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    print_json(job_json(*job));
    return kExitDone;
  }
  fmt::print("{}  {}  runner {}  attempt {}\n", job->job, messages::to_string(job->state),
             job->runner.empty() ? "-" : job->runner, job->attempt);
  if (job->waiting) fmt::print("waits: {}\n", job->waiting->text);
  if (job->result) fmt::print("{}\n", result_text(*job->result));
  return kExitDone;
}

int run_cancel(const Globals& globals, const std::string& id, std::optional<Duration> grace) {
  messages::CancelJobRequest request{.job = id};
  if (grace) {
    request.grace_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(*grace).count());
  }
  const auto reply = ask<messages::CancelJobReply>(globals, "valkyrie.Jobs/Cancel", request);
  if (!reply) return reply.error();
  fmt::print("{}  {}\n", reply->job, messages::to_string(reply->state));
  return kExitDone;
}

// What to run; the same for `run` and `submit`.
std::shared_ptr<JobRunArguments> add_spec(CLI::App& command) {
  auto arguments = std::make_shared<JobRunArguments>();
  add_pairs(command, "--label", arguments->labels, "Only runners with this label; repeatable");
  add_pairs(command, "--env", arguments->environment, "Variable for the command; repeatable");
  add_duration(command, "--timeout", arguments->timeout,
               "End the command after this long (default: the node's, 1h)");
  command.add_option("--name", arguments->name, "For lists and logs");
  command.add_option("CMD", arguments->argv, "The command and its arguments, after --")->required();
  return arguments;
}

void add_run(CLI::App& job, Context& context) {
  auto* run = job.add_subcommand("run", "Runs a command on a runner and shows its output");
  run->footer(
      "The exit code is the command's; 125 if there is none (no runner, signal, timeout, lost).\n"
      "Ctrl-C cancels the job and waits until the runner has proven it dead.\n"
      "Examples:\n"
      "  valkyrie job run -- make test\n"
      "  valkyrie job run --label os=linux --env CI=1 --timeout 10m -- ./build.sh\n"
      "  valkyrie -o jsonl job run -- true");
  run->callback([&context, arguments = add_spec(*run)] {
    context.run = [&context, arguments] { return run_job(context.globals, *arguments); };
  });
}

int run_submit(const Globals& globals, const JobRunArguments& arguments, const std::string& key,
               bool received) {
  const messages::SubmitRequest request{
      .specs = {spec_of(arguments)},
      .key = key,
      .ack = received ? messages::Ack::received : messages::Ack::persisted};
  const auto reply = ask<messages::SubmitReply>(globals, "valkyrie.Jobs/Submit", request);
  if (!reply) return reply.error();
  if (reply->jobs.size() != 1)
    return report(Status(StatusCode::internal, "the answer names no job"));
  const bool persisted = reply->ack == messages::Ack::persisted;
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    print_json(json::object{{"job", reply->jobs.front()},
                            {"known", reply->known},
                            {"ack", persisted ? "persisted" : "received"}});
    return kExitDone;
  }
  fmt::print("{}\n", reply->jobs.front());
  if (!persisted && !received) {
    note(globals, "the node keeps jobs in memory only: this one is lost if the node is");
  }
  return kExitDone;
}

void add_submit(CLI::App& job, Context& context) {
  auto* submit = job.add_subcommand("submit", "Hands over a command and prints its job's id");
  submit->footer(
      "The job runs whoever goes away; see `valkyrie job wait` and `valkyrie job logs`.\n"
      "Examples:\n"
      "  valkyrie job submit -- make test\n"
      "  valkyrie job submit --key build-1742 -- ./build.sh    # repeatable: one job\n"
      "  valkyrie job wait $(valkyrie job submit -- make test)");
  auto key = std::make_shared<std::string>();
  auto ack = std::make_shared<std::string>("persisted");
  submit->add_option("--key", *key,
                     "Makes the submit repeatable: the same key and job give the same id for 24h");
  submit
      ->add_option("--ack", *ack,
                   "persisted: the job survives the node's death; received: the node has it")
      ->check(CLI::IsMember({"persisted", "received"}))
      ->capture_default_str();
  submit->callback([&context, key, ack, arguments = add_spec(*submit)] {
    context.run = [&context, key, ack, arguments] {
      return run_submit(context.globals, *arguments, *key, *ack == "received");
    };
  });
}

void add_watches(CLI::App& job, Context& context) {
  auto arguments = std::make_shared<JobWatchArguments>();
  auto* logs = job.add_subcommand("logs", "Prints a job's output");
  logs->footer(
      "With -f the exit code is the job's, as for run.\n"
      "Examples:\n"
      "  valkyrie job logs job_06bk\n"
      "  valkyrie job logs -f job_06bk\n"
      "  valkyrie job logs --from 1048576 job_06bk > rest.log");
  logs->add_option("JOB", arguments->job, "Its id or any unique beginning of it")->required();
  logs->add_flag("-f,--follow", arguments->follow, "Go on until the job has ended");
  logs->add_option("--from", arguments->from, "First byte of output to print");
  logs->callback([&context, arguments] {
    context.run = [&context, arguments] { return watch_job(context.globals, *arguments); };
  });
  auto* wait = job.add_subcommand("wait", "Waits for a job's end, and exits as it did");
  wait->footer("Examples:\n  valkyrie job wait job_06bk\n  valkyrie -o jsonl job wait job_06bk");
  wait->add_option("JOB", arguments->job, "Its id or any unique beginning of it")->required();
  wait->callback([&context, arguments] {
    arguments->follow = true;
    arguments->output = false;
    context.run = [&context, arguments] { return watch_job(context.globals, *arguments); };
  });
}

}  // namespace

void add_job(CLI::App& app, Context& context) {
  auto* job = app.add_subcommand("job", "Commands on runners");
  job->require_subcommand(1);
  job->footer(
      "Examples:\n"
      "  valkyrie job run -- make test\n"
      "  valkyrie job submit -- make test\n"
      "  valkyrie job logs -f job_06bk\n"
      "  valkyrie job ls --live\n"
      "  valkyrie job cancel job_06bk");
  add_run(*job, context);
  add_submit(*job, context);
  add_watches(*job, context);
  auto live = std::make_shared<bool>(false);
  auto* ls = job->add_subcommand("ls", "Lists jobs, newest first");
  ls->footer("Examples:\n  valkyrie job ls\n  valkyrie -o jsonl job ls --live");
  ls->add_flag("--live", *live, "Only those that have not ended");
  ls->callback([&context, live] {
    context.run = [&context, live] { return run_ls(context.globals, *live); };
  });
  auto id = std::make_shared<std::string>();
  auto* show = job->add_subcommand("show", "One job: state, why it waits, how it ended");
  show->footer("Examples:\n  valkyrie job show job_06bk\n  valkyrie -o json job show job_06bk");
  show->add_option("JOB", *id, "Its id or any unique beginning of it")->required();
  show->callback(
      [&context, id] { context.run = [&context, id] { return run_show(context.globals, *id); }; });
  auto grace_value = std::make_shared<Duration>(-1);
  auto* cancel = job->add_subcommand("cancel", "Stops a job and everything it started");
  cancel->footer(
      "Examples:\n  valkyrie job cancel job_06bk\n  valkyrie job cancel job_06bk --grace 0s");
  cancel->add_option("JOB", *id, "Its id or any unique beginning of it")->required();
  add_duration(*cancel, "--grace", *grace_value, "Between TERM and KILL (default 10s)");
  cancel->callback([&context, id, grace_value] {
    context.run = [&context, id, grace_value] {
      return run_cancel(context.globals, *id,
                        grace_value->count() < 0 ? std::nullopt : std::optional(*grace_value));
    };
  });
}

}  // namespace valkyrie::tools
