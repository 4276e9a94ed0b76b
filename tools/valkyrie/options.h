// Options that several commands share, as CLI11 reads them.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/valkyrie/context.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace valkyrie::tools {

// How a call is to be made.
struct CallFlags {
  Duration deadline{};
  Qos qos = Qos::inherit;
  std::uint8_t urgency = kUrgencyInherit;
  std::string idempotency_key;
  std::vector<std::pair<std::string, std::string>> headers;

  // For the client; --deadline goes before --timeout. Borrows from this.
  [[nodiscard]] CallOptions options(const Globals& globals) const;
  // Fills `metadata` with what -H gave. False: a name or a value breaks a rule; it was printed.
  [[nodiscard]] bool fill(Metadata& metadata) const;
};

// Adds --deadline, --qos, --urgency, --idempotency-key and -H. `deadline_default` is for the help.
void add_call_flags(CLI::App& command, CallFlags& flags, std::string_view deadline_default = "30s");
// Adds an option that takes a length of time with its unit, such as 200ms.
CLI::Option* add_duration(CLI::App& command, const std::string& name, Duration& value,
                          const std::string& help);
// Adds --lifetime, which takes days as 90d, or any other length of time.
void add_lifetime(CLI::App& command, std::chrono::seconds& value, const std::string& help);
// Adds an option that takes seconds with or without unit, such as 3, 0.7 or 500ms.
void add_seconds(CLI::App& command, const std::string& name, Duration& value,
                 const std::string& help);
// A length of time, or a CLI::ValidationError that names the option and says what to write.
[[nodiscard]] Duration duration_or_throw(const std::string& name, const std::string& text);
// Adds a repeatable option that takes key=value.
CLI::Option* add_pairs(CLI::App& command, const std::string& name,
                       std::vector<std::pair<std::string, std::string>>& pairs,
                       const std::string& help);

}  // namespace valkyrie::tools
