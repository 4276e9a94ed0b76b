#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "protocol/messages/bans.h"
#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/json.h"

namespace valkyrie::tools {

namespace {

int run_ls(const Globals& globals) {
  auto client = connect(globals);
  if (!client) return client.error();
  const auto reply = client
                         ->call("valkyrie.Bans/List", messages::encode(messages::ListBansRequest{}),
                                {.deadline = globals.timeout})
                         .wait();
  if (!reply) return report(reply.error());
  const auto list = messages::decode<messages::ListBansReply>(BytesView(*reply).span());
  if (!list) {
    print_error("the node's answer cannot be read; is it of a newer version?");
    return kExitStatusBase + static_cast<int>(StatusCode::internal);
  }
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    json::array rows;
    for (const messages::BanView& ban : list->bans) {
      rows.push_back(json::object{{"peer", ban.peer},
                                  {"count", ban.count},
                                  {"left_seconds", static_cast<double>(ban.left_ns) / 1e9}});
    }
    print_json_rows(globals.format, rows);
    return kExitDone;
  }
  Table table({"PEER", "BANS", "LEFT"});
  for (const messages::BanView& ban : list->bans) {
    table.add({ban.peer, fmt::format("{}", ban.count),
               human_duration(Duration(static_cast<std::int64_t>(ban.left_ns)))});
  }
  table.print();
  return kExitDone;
}

int run_lift(const Globals& globals, const std::string& peer) {
  auto client = connect(globals);
  if (!client) return client.error();
  const auto reply =
      client
          ->call("valkyrie.Bans/Lift", messages::encode(messages::LiftBanRequest{.peer = peer}),
                 {.deadline = globals.timeout})
          .wait();
  if (!reply) return report(reply.error());
  note(globals, fmt::format("{} may connect again", peer));
  return kExitDone;
}

}  // namespace

void add_ban(CLI::App& app, Context& context) {
  auto* ban = app.add_subcommand("ban", "Who is kept out at the node's doors");
  ban->require_subcommand(1);
  auto* ls = ban->add_subcommand("ls", "All who are banned");
  ls->footer("Examples:\n  valkyrie ban ls\n  valkyrie -o json ban ls");
  ls->callback([&context] { context.run = [&context] { return run_ls(context.globals); }; });
  auto* lift = ban->add_subcommand("lift", "Lets a peer in again and forgets what it did");
  lift->footer("Examples:\n  valkyrie ban lift 203.0.113.7\n  valkyrie ban lift 2001:db8:1:2::/64");
  auto peer = std::make_shared<std::string>();
  lift->add_option("PEER", *peer, "As ban ls shows it")->required();
  lift->callback([&context, peer] {
    context.run = [&context, peer] { return run_lift(context.globals, *peer); };
  });
}

}  // namespace valkyrie::tools
