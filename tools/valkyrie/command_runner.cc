#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "protocol/messages/jobs.h"
#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/json.h"

namespace valkyrie::tools {

namespace {

json::object runner_json(const messages::RunnerView& runner) {
  json::array jobs;
  for (const std::string& job : runner.jobs) jobs.push_back(json::string(job));
  return {{"name", runner.name},
          {"version", runner.version},
          {"isolation", runner.isolation},
          {"slots", runner.slots},
          {"slots_busy", runner.slots_busy},
          {"draining", runner.draining},
          {"labels", pairs_json(runner.labels)},
          {"jobs", jobs},
          {"age_seconds", static_cast<double>(runner.age_ns) / 1e9}};
}

int run_ls(const Globals& globals) {
  auto client = connect(globals);
  if (!client) return client.error();
  const auto reply =
      client
          ->call("valkyrie.Runners/List", messages::encode(messages::ListRunnersRequest{}),
                 {.deadline = globals.timeout})
          .wait();
  if (!reply) return report(reply.error());
  const auto list = messages::decode<messages::ListRunnersReply>(BytesView(*reply).span());
  if (!list) {
    print_error("the node's answer cannot be read; is it of a newer version?");
    return kExitStatusBase + static_cast<int>(StatusCode::internal);
  }
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    json::array rows;
    for (const messages::RunnerView& runner : list->runners) rows.push_back(runner_json(runner));
    print_json_rows(globals.format, rows);
    return kExitDone;
  }
  Table table({"RUNNER", "STATE", "SLOTS", "ISOLATION", "AGE", "LABELS"});
  for (const messages::RunnerView& runner : list->runners) {
    table.add({runner.name, runner.draining ? "draining" : "ready",
               fmt::format("{}/{}", runner.slots_busy, runner.slots), runner.isolation,
               human_duration(Duration(static_cast<std::int64_t>(runner.age_ns))),
               labels_text(runner.labels)});
  }
  table.print();
  return kExitDone;
}

}  // namespace

void add_runner(CLI::App& app, Context& context) {
  auto* runner = app.add_subcommand("runner", "Who executes jobs");
  runner->require_subcommand(1);
  runner->footer("Examples:\n  valkyrie runner ls\n  valkyrie -o json runner ls");
  auto* ls = runner->add_subcommand("ls", "Lists runners, their slots and labels");
  ls->footer("Examples:\n  valkyrie runner ls\n  valkyrie -o json runner ls");
  ls->callback([&context] { context.run = [&context] { return run_ls(context.globals); }; });
}

}  // namespace valkyrie::tools
