#include <fmt/format.h>
#include <functional>

#include <CLI/CLI.hpp>

#include "protocol/messages/registry.h"
#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/json.h"

namespace valkyrie::tools {

namespace {

json::object instance_json(const messages::InstanceView& instance) {
  json::array methods;
  for (const messages::MethodInfo& method : instance.methods) {
    methods.push_back(json::object{{"name", method.name},
                                   {"kind", messages::to_string(method.kind)},
                                   {"idempotent", method.idempotent},
                                   {"timeout_ms", method.timeout_ms}});
  }
  return {{"instance", instance.instance},
          {"version", instance.version},
          {"state", messages::to_string(instance.state)},
          {"weight", instance.weight},
          {"concurrency", instance.concurrency},
          {"in_flight", instance.in_flight},
          {"calls", instance.calls},
          {"age_seconds", static_cast<double>(instance.age_ns) / 1e9},
          {"peer", instance.peer},
          {"labels", pairs_json(instance.labels)},
          {"methods", methods}};
}

json::array services_json(const messages::ListServicesReply& reply) {
  json::array rows;
  for (const messages::ServiceView& service : reply.services) {
    json::array instances;
    for (const auto& instance : service.instances) instances.push_back(instance_json(instance));
    rows.push_back(json::object{{"name", service.name}, {"instances", instances}});
  }
  return rows;
}

// The services whose names begin with `prefix`, or an exit code.
std::expected<messages::ListServicesReply, int> list(const Globals& globals,
                                                     const std::string& prefix) {
  auto client = connect(globals);
  if (!client) return std::unexpected(client.error());
  const std::string body = messages::encode(messages::ListServicesRequest{.prefix = prefix});
  const auto reply =
      client->call("valkyrie.Registry/List", body, {.deadline = globals.timeout}).wait();
  if (!reply) return std::unexpected(report(reply.error()));
  auto decoded = messages::decode<messages::ListServicesReply>(BytesView(*reply).span());
  if (!decoded) {
    print_error("the node's answer cannot be read; is it of a newer version?");
    return std::unexpected(kExitStatusBase + static_cast<int>(StatusCode::internal));
  }
  return std::move(*decoded);
}

int run_ls(const Globals& globals, const std::string& prefix) {
  const auto reply = list(globals, prefix);
  if (!reply) return reply.error();
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    print_json_rows(globals.format, services_json(*reply));
    return kExitDone;
  }
  Table table({"SERVICE", "INSTANCE", "VERSION", "STATE", "IN FLIGHT", "CALLS", "AGE", "PEER"});
  for (const messages::ServiceView& service : reply->services) {
    for (const messages::InstanceView& instance : service.instances) {
      table.add({service.name, instance.instance, instance.version.empty() ? "-" : instance.version,
                 std::string(messages::to_string(instance.state)),
                 fmt::format("{}/{}", instance.in_flight, instance.concurrency),
                 fmt::to_string(instance.calls),
                 human_duration(Duration(static_cast<std::int64_t>(instance.age_ns))),
                 instance.peer});
    }
  }
  table.print();
  return kExitDone;
}

void print_service(const messages::ServiceView& service) {
  fmt::print("{}\n", service.name);
  for (const messages::InstanceView& instance : service.instances) {
    fmt::print("  {}  version {}  {}  weight {}  in flight {}/{}  calls {}  labels {}\n",
               instance.instance, instance.version.empty() ? "-" : instance.version,
               messages::to_string(instance.state), instance.weight, instance.in_flight,
               instance.concurrency, instance.calls, labels_text(instance.labels));
    for (const messages::MethodInfo& method : instance.methods) {
      fmt::print("    {}/{}  {}{}{}\n", service.name, method.name, messages::to_string(method.kind),
                 method.idempotent ? "  idempotent" : "",
                 method.timeout_ms == 0 ? "" : fmt::format("  timeout {}ms", method.timeout_ms));
    }
  }
}

int run_show(const Globals& globals, const std::string& name) {
  const auto reply = list(globals, name);
  if (!reply) return reply.error();
  for (const messages::ServiceView& service : reply->services) {
    if (service.name != name) continue;
    if (globals.format == Format::table || globals.format == Format::raw) {
      print_service(service);
    } else {
      print_json(services_json({.services = {service}}).front());
    }
    return kExitDone;
  }
  print_error(fmt::format("no service \"{}\" is registered; see `valkyrie services ls`", name));
  return kExitNo;
}

}  // namespace

void add_services(CLI::App& app, Context& context) {
  auto* services = app.add_subcommand("services", "What is registered at the node");
  services->require_subcommand(1);
  services->footer(
      "Examples:\n"
      "  valkyrie services ls\n"
      "  valkyrie -o json services ls hello.\n"
      "  valkyrie services show hello.Greeter");
  auto name = std::make_shared<std::string>();
  auto* ls = services->add_subcommand("ls", "Lists services and their instances");
  ls->footer("Examples:\n  valkyrie services ls\n  valkyrie -o json services ls hello.");
  ls->add_option("PREFIX", *name, "Only names that begin so");
  ls->callback([&context, name] {
    context.run = [&context, name] { return run_ls(context.globals, *name); };
  });
  auto* show = services->add_subcommand("show", "One service: instances, methods, labels");
  show->footer(
      "Exits with 1 if nobody serves it.\nExamples:\n  valkyrie services show hello.Greeter");
  show->add_option("SERVICE", *name, "Its whole name")->required();
  show->callback([&context, name] {
    context.run = [&context, name] { return run_show(context.globals, *name); };
  });
}

}  // namespace valkyrie::tools
