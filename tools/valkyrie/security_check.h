// What is weak about how a node is set up, told from its command line and the files that it names.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "server/policy/wall_time.h"

namespace valkyrie::tools {

// How bad something is.
enum class FindingLevel : std::uint8_t {
  good,
  note,  // Worth knowing; right for some.
  weak,  // Holds, but could be better.
  bad,   // Does not protect, or will not start.
};

// The one word for a level, in tables and JSON.
[[nodiscard]] std::string_view to_string(FindingLevel level);

// One thing that was looked at.
struct SecurityFinding {
  FindingLevel level = FindingLevel::good;
  std::string about;  // A door, a file or a setting.
  std::string text;   // What was seen and, if it is not good, what to do. Never a secret.
};

// All of them, in the order in which they were looked at.
using SecurityFindings = std::vector<SecurityFinding>;

// What decides about the security of a node, as its options of the same names say it.
struct NodeSetup {
  std::vector<std::string> listen{};         // URLs; empty: the node's default, all local.
  std::map<std::string, std::string> set{};  // tls.*, noise.* and others, by path.
  std::string security{};                    // Empty: no policy.
  std::string state{};                       // Empty: ephemeral.
  std::string audit_log{};                   // Empty: none.

  // A setting's value; empty if it has none.
  [[nodiscard]] std::string setting(const std::string& path) const;
};

// Looks at the doors, and at what each is open to.
void check_doors(const NodeSetup& node, SecurityFindings& findings);
// Looks at the files of tls://, if the node has such a door: whether they can be used now, for how
// long, by whom they can be read, and what they let through.
void check_tls(const NodeSetup& node, policy::WallTime now, SecurityFindings& findings);
// Looks at the settings of noise://, if the node has such a door.
void check_noise(const NodeSetup& node, SecurityFindings& findings);
// Looks at the policy and the keys of its providers, if there is one.
void check_policy(const NodeSetup& node, policy::WallTime now, SecurityFindings& findings);
// Looks at the secrets in the state directory, and whether there is an audit log.
void check_state(const NodeSetup& node, SecurityFindings& findings);

}  // namespace valkyrie::tools
