// Files of one thing a line, words between blanks, `#` from the start of a word to the end of the
// line a comment. Private to this folder.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "server/policy/identity.h"

namespace valkyrie::policy {

// Whether every byte is visible ASCII: what a word of a file may be made of.
[[nodiscard]] inline bool is_visible(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

// Bytes of a word that an error repeats. Keys and tokens are longer.
inline constexpr std::size_t kQuotedBytesMax = 16;

// A word that makes no sense where it stands, for an error. One that may be a secret in the wrong
// file is not repeated.
[[nodiscard]] inline std::string quoted(std::string_view word) {
  if (word.size() > kQuotedBytesMax) return "a word of " + std::to_string(word.size()) + " bytes";
  return '"' + printable(word) + '"';
}

// Walks the lines that say something. Borrows the text.
class TextLines {
 public:
  explicit TextLines(std::string_view text) : rest_(text) {}

  // Goes to the next line with a word; false at the end.
  bool next() {
    words_.clear();
    while (words_.empty() && !rest_.empty()) {
      const std::size_t end = std::min(rest_.find('\n'), rest_.size());
      read(rest_.substr(0, end));
      rest_.remove_prefix(std::min(rest_.size(), end + 1));
      ++number_;
    }
    return !words_.empty();
  }

  // Its number, from 1.
  [[nodiscard]] std::size_t number() const { return number_; }
  // Its words.
  [[nodiscard]] const std::vector<std::string_view>& words() const { return words_; }

 private:
  static constexpr std::string_view kBlanks = " \t\r";

  void read(std::string_view line) {
    for (std::size_t at = line.find_first_not_of(kBlanks);
         at != std::string_view::npos && line[at] != '#';
         at = line.find_first_not_of(kBlanks, at)) {
      const std::size_t end = std::min(line.find_first_of(kBlanks, at), line.size());
      words_.push_back(line.substr(at, end - at));
      at = end;
    }
  }

  std::string_view rest_;
  std::vector<std::string_view> words_;
  std::size_t number_ = 0;
};

}  // namespace valkyrie::policy
