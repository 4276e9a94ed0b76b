// Which static keys may come in through Noise, and what each is called.
//
// No I/O, no clock, no threads. A NoiseKeys never changes; any thread may use it.
#pragma once

#include <cstddef>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace valkyrie::policy {

// Keys of a list.
inline constexpr std::size_t kNoiseKeysMax = 65'536;
// Characters of a name.
inline constexpr std::size_t kNoiseNameMax = 128;

// The list of a node.
class NoiseKeys {
 public:
  // Reads lines of `KEY NAME`; `#` begins a comment. A key is 64 hexadecimal digits, a name
  // letters, digits and any of `._-@/`: never a `:`, so that no name looks like a key or a Unix
  // user. Several keys may have one name, as while a client goes from one to the next. Errors, for
  // people, name the line.
  [[nodiscard]] static std::expected<NoiseKeys, std::string> parse(std::string_view text);

  // The name of a key, in lower-case digits; nullopt if it is not on the list. Borrows.
  [[nodiscard]] std::optional<std::string_view> name_of(std::string_view digits) const;
  // How many keys there are.
  [[nodiscard]] std::size_t size() const { return names_.size(); }

 private:
  std::map<std::string, std::string, std::less<>> names_;  // By key.
};

}  // namespace valkyrie::policy
