#include <chrono>
#include <cstdint>
#include <fmt/format.h>
#include <functional>

#include <CLI/CLI.hpp>

#include "protocol/messages/registry.h"
#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/services_watch.h"

namespace valkyrie::tools {

json::object instance_json(const messages::InstanceView& instance) {
  json::array methods;
  for (const messages::MethodInfo& method : instance.methods) {
    methods.push_back(json::object{{"name", method.name},
                                   {"kind", messages::to_string(method.kind)},
                                   {"idempotent", method.idempotent},
                                   {"timeout_ms", method.timeout_ms},
                                   {"large", method.large},
                                   {"description", method.description}});
  }
  return {{"instance", instance.instance},
          {"version", instance.version},
          {"state", messages::to_string(instance.state)},
          {"reason", instance.reason},
          {"weight", instance.weight},
          {"concurrency", instance.concurrency},
          {"in_flight", instance.in_flight},
          {"calls", instance.calls},
          {"failures", instance.failures},
          {"age_seconds", static_cast<double>(instance.age_ns) / 1e9},
          {"peer", instance.peer},
          {"labels", pairs_json(instance.labels)},
          {"methods", methods}};
}

namespace {

json::object policy_json(const messages::ServicePolicyView& policy) {
  return {{"deadline_ms", policy.deadline_ms},
          {"in_flight_max", policy.in_flight_max},
          {"queue_max", policy.queue_max},
          {"balance", messages::to_string(policy.balance)},
          {"slow_start_ms", policy.slow_start_ms},
          {"locality", policy.locality},
          {"ejection", json::object{{"failures", policy.ejection_failures},
                                    {"success_gap", policy.ejection_success_gap},
                                    {"calls_min", policy.ejection_calls_min},
                                    {"interval_ms", policy.ejection_interval_ms},
                                    {"time_ms", policy.ejection_time_ms},
                                    {"time_max_ms", policy.ejection_time_max_ms},
                                    {"share_max", policy.ejection_share_max}}},
          {"probe", json::object{{"interval_ms", policy.probe_interval_ms},
                                 {"timeout_ms", policy.probe_timeout_ms},
                                 {"failures", policy.probe_failures},
                                 {"successes", policy.probe_successes},
                                 {"deregister", policy.probe_deregister}}}};
}

std::string milliseconds(std::uint64_t count) {
  return human_duration(std::chrono::milliseconds(count));
}

void print_ejection(const messages::ServicePolicyView& policy) {
  std::string reasons;
  if (policy.ejection_failures != 0) {
    reasons = fmt::format("after {} failures in a row", policy.ejection_failures);
  }
  if (policy.ejection_success_gap != 0) {
    reasons += fmt::format("{}{}% below the others", reasons.empty() ? "" : ", or ",
                           policy.ejection_success_gap);
  }
  if (reasons.empty()) return fmt::print("  ejection none\n");
  fmt::print("  ejection {}  for {} to {}  at most {}% of the instances\n", reasons,
             milliseconds(policy.ejection_time_ms), milliseconds(policy.ejection_time_max_ms),
             policy.ejection_share_max);
}

void print_probe(const messages::ServicePolicyView& policy) {
  if (policy.probe_interval_ms == 0) return fmt::print("  probe none\n");
  fmt::print("  probe every {} for {}  out after {} failures  back after {}  {}\n",
             milliseconds(policy.probe_interval_ms), milliseconds(policy.probe_timeout_ms),
             policy.probe_failures, policy.probe_successes,
             policy.probe_deregister == 0 ? "never gone"
                                          : fmt::format("gone after {}", policy.probe_deregister));
}

// What holds for the service, in one line for each concern.
void print_policy(const messages::ServicePolicyView& policy) {
  fmt::print("  balance {}  locality {}  slow start {}\n", messages::to_string(policy.balance),
             policy.locality.empty() ? "none" : policy.locality,
             policy.slow_start_ms == 0 ? "none" : milliseconds(policy.slow_start_ms));
  fmt::print(
      "  in flight at most {}  queue {} on each shard  deadline {}\n",
      policy.in_flight_max == 0 ? "what instances take" : fmt::to_string(policy.in_flight_max),
      policy.queue_max, milliseconds(policy.deadline_ms));
  print_ejection(policy);
  print_probe(policy);
}

json::array services_json(const messages::ListServicesReply& reply) {
  json::array rows;
  for (const messages::ServiceView& service : reply.services) {
    json::array instances;
    for (const auto& instance : service.instances) instances.push_back(instance_json(instance));
    rows.push_back(json::object{
        {"name", service.name}, {"policy", policy_json(service.policy)}, {"instances", instances}});
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
  print_policy(service.policy);
  for (const messages::InstanceView& instance : service.instances) {
    fmt::print("  {}  version {}  {}{}  weight {}  in flight {}/{}  calls {}{}  labels {}\n",
               instance.instance, instance.version.empty() ? "-" : instance.version,
               messages::to_string(instance.state),
               instance.reason.empty() ? "" : fmt::format(" ({})", instance.reason),
               instance.weight, instance.in_flight, instance.concurrency, instance.calls,
               instance.failures == 0 ? "" : fmt::format(" ({} failed)", instance.failures),
               labels_text(instance.labels));
    for (const messages::MethodInfo& method : instance.methods) {
      fmt::print("    {}/{}  {}{}{}{}{}\n", service.name, method.name,
                 messages::to_string(method.kind), method.idempotent ? "  idempotent" : "",
                 method.large ? "  large" : "",
                 method.timeout_ms == 0 ? "" : fmt::format("  timeout {}ms", method.timeout_ms),
                 method.description.empty() ? "" : "  " + method.description);
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
      "  valkyrie services show hello.Greeter\n"
      "  valkyrie services watch hello.");
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
  auto count = std::make_shared<std::uint64_t>(0);
  auto* watch = services->add_subcommand("watch", "What is registered, then every change");
  watch->footer(
      "A line for each instance: is, now, gone. Ends with Ctrl-C.\n"
      "Examples:\n  valkyrie services watch\n  valkyrie -o jsonl services watch hello.");
  watch->add_option("PREFIX", *name, "Only names that begin so");
  watch->add_option("--count", *count, "End after so many lines")->type_name("N");
  watch->callback([&context, name, count] {
    context.run = [&context, name, count] {
      return run_services_watch(context.globals, *name, *count);
    };
  });
  show->add_option("SERVICE", *name, "Its whole name")->required();
  show->callback([&context, name] {
    context.run = [&context, name] { return run_show(context.globals, *name); };
  });
}

}  // namespace valkyrie::tools
