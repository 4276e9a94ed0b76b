#include "server/policy/noise_keys.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "protocol/hex_text.h"
#include "server/policy/text_lines.h"

namespace valkyrie::policy {
namespace {

constexpr std::size_t kKeyBytes = 32;

// Not of the library: what a letter is does not depend on where a node runs.
bool is_of_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("._-@/").contains(c);
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNoiseNameMax && std::ranges::all_of(text, is_of_name);
}

std::unexpected<std::string> wrong(const TextLines& lines, std::string_view why) {
  return std::unexpected(fmt::format("line {}: {}", lines.number(), why));
}

}  // namespace

std::expected<NoiseKeys, std::string> NoiseKeys::parse(std::string_view text) {
  NoiseKeys keys;
  TextLines lines(text);
  while (lines.next()) {
    const auto& words = lines.words();
    if (words.size() != 2) return wrong(lines, "write KEY NAME");
    std::array<std::byte, kKeyBytes> key{};
    if (!protocol::read_hex_text(words[0], key)) {
      return wrong(lines, "a key is 64 hexadecimal digits: the client's public one");
    }
    if (!is_name(words[1])) {
      return wrong(lines,
                   fmt::format("a name is 1 to {} letters, digits and ._-@/", kNoiseNameMax));
    }
    if (keys.names_.size() == kNoiseKeysMax) {
      return wrong(lines, fmt::format("there are over {} keys", kNoiseKeysMax));
    }
    if (!keys.names_.emplace(protocol::hex_text(key), words[1]).second) {
      return wrong(lines, "the key is there twice");
    }
  }
  return keys;
}

std::optional<std::string_view> NoiseKeys::name_of(std::string_view digits) const {
  const auto found = names_.find(digits);
  if (found == names_.end()) return std::nullopt;
  return found->second;
}

}  // namespace valkyrie::policy
