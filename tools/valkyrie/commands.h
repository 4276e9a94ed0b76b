// The commands of `valkyrie`: each adds itself to the command line and, when chosen, sets
// Context::run.
#pragma once

#include "tools/valkyrie/context.h"

namespace CLI {
class App;
}  // namespace CLI

namespace valkyrie::tools {

// call TARGET [BODY]: one call, its reply on standard output.
void add_call(CLI::App& app, Context& context);
// stream TARGET: a line in is a message, a message is a line out.
void add_stream(CLI::App& app, Context& context);
// serve SERVICE: makes a program, or an echo, a service.
void add_serve(CLI::App& app, Context& context);
// services ls|show|watch: what is registered at the node.
void add_services(CLI::App& app, Context& context);
// top: rates, latencies and queues of services, as they change.
void add_top(CLI::App& app, Context& context);
// ping: round trips to the node itself.
void add_ping(CLI::App& app, Context& context);
// bench call TARGET: rate and latency of a call.
void add_bench(CLI::App& app, Context& context);
// bench pub and bench conn, commands of bench.
void add_bench_pub(CLI::App& bench, Context& context);
void add_bench_conn(CLI::App& bench, Context& context);
// bench stream, a command of bench.
void add_bench_stream(CLI::App& bench, Context& context);
// pub SUBJECT [BODY]: messages to a subject.
void add_pub(CLI::App& app, Context& context);
// sub FILTER: messages of a filter on standard output.
void add_sub(CLI::App& app, Context& context);
// job run|ls|show|cancel: commands on runners.
void add_job(CLI::App& app, Context& context);
// runner ls: who executes jobs.
void add_runner(CLI::App& app, Context& context);
// audit verify|key: what a node wrote down, without a node.
void add_audit(CLI::App& app, Context& context);
// ban ls|lift: who is kept out at the node's doors.
void add_ban(CLI::App& app, Context& context);
// security init-ca|issue|revoke|keygen|token|apikey|explain|whoami|check: who may come in, and what
// each may do.
void add_security(CLI::App& app, Context& context);
// doctor: what keeps this machine from using a node.
void add_doctor(CLI::App& app, Context& context);
// version: of this program and of the node.
void add_version(CLI::App& app, Context& context);
// completion bash|zsh|fish: a script for the shell.
void add_completion(CLI::App& app, Context& context);

}  // namespace valkyrie::tools
