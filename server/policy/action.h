// What an identity may be allowed to do, and the names it is done to.
//
// No I/O, no clock, no threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace valkyrie::policy {

// What is asked for.
enum class Action : std::uint8_t {
  call,        // A method of a service: `hello.Greeter/SayHello`.
  serve,       // A service: register an instance of it.
  publish,     // A subject.
  subscribe,   // A filter of subjects.
  watch,       // A service: see its instances. `hello.*` asks for all whose names begin so.
  submit,      // A job, by its name.
  run,         // Jobs, as the runner of this name.
  cancel,      // A job, by its name.
  read_logs,   // A job, by its name.
  administer,  // A part of the node, such as `bans`.
};

// How many actions there are.
inline constexpr std::size_t kActions = 10;

// The one word for an action in policies, texts, logs and audit records.
[[nodiscard]] std::string_view to_string(Action action);
// The action that a word names; nullopt if none.
[[nodiscard]] std::optional<Action> parse_action(std::string_view word);

// What the names of an action look like, and so how patterns match them.
enum class NameKind : std::uint8_t {
  method,   // SERVICE/METHOD, or SERVICE for all its methods.
  service,  // SERVICE.
  subject,  // A subject; to subscribe, a filter.
  plain,    // Any other name.
};

// The kind of an action's names.
[[nodiscard]] NameKind name_kind(Action action);

// What an action is done to. Borrowed.
struct Name {
  std::string_view name;      // Service, subject, filter, or a plain name.
  std::string_view method{};  // Of that service, to call. Empty: all of them.
};

// Takes `text` apart as names of this action are written; a version, as in `name@version/Method`,
// does not matter to policies and is kept out. The result borrows from `text`.
[[nodiscard]] Name parse_name(Action action, std::string_view text);

// The name as people write it, its bytes made printable.
[[nodiscard]] std::string name_text(const Name& name);

}  // namespace valkyrie::policy
