// The commands of `valkyrie security`, and what they share.
#pragma once

#include <chrono>
#include <string_view>

#include "server/policy/wall_time.h"
#include "tools/valkyrie/context.h"

namespace CLI {
class App;
}  // namespace CLI

namespace valkyrie::tools {

// init-ca and issue: an authority in a folder, and what it signs.
void add_security_certificates(CLI::App& security, Context& context);
// revoke: its list of what it takes back.
void add_security_revoke(CLI::App& security, Context& context);
// keygen noise|psk|audit|token: keys that are no certificates'.
void add_security_keygen(CLI::App& security, Context& context);
// token new|inspect.
void add_security_token(CLI::App& security, Context& context);
// apikey new|ls|revoke: the node's file of API keys.
void add_security_api_key(CLI::App& security, Context& context);
// explain: what a policy says to one question.
void add_security_explain(CLI::App& security, Context& context);
// whoami: how a running node sees this client.
void add_security_whoami(CLI::App& security, Context& context);
// check: what is weak about a node, from its files or asked of itself.
void add_security_check(CLI::App& security, Context& context);

// Prints an error of arguments or files, and returns the exit code for it.
[[nodiscard]] int fail(std::string_view text);
// The wall clock.
[[nodiscard]] policy::WallTime wall_now();
// Whether a result is to be one JSON document.
[[nodiscard]] bool wants_json(const Globals& globals);

}  // namespace valkyrie::tools
