#include <algorithm>
#include <word_count.h>

namespace words {
namespace {

bool is_letter(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c > 127;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

void count(std::istream& text, Counts& counts) {
  std::string word;
  const auto finish = [&] {
    while (!word.empty() && word.back() == '\'') word.pop_back();
    if (!word.empty()) ++counts[word];
    word.clear();
  };
  for (char c = 0; text.get(c);) {
    if (is_letter(static_cast<unsigned char>(c)) || (c == '\'' && !word.empty())) {
      word.push_back(lower(c));
    } else {
      finish();
    }
  }
  finish();
}

std::vector<std::pair<std::string, std::size_t>> top(const Counts& counts, std::size_t most) {
  std::vector<std::pair<std::string, std::size_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  sorted.resize(std::min(most, sorted.size()));
  return sorted;
}

}  // namespace words
