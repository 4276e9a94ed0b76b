#include "server/registry/suggestion.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

namespace valkyrie::registry {
namespace {

// The textbook table, to compare with.
std::size_t full_distance(std::string_view from, std::string_view to) {
  std::vector<std::vector<std::size_t>> cell(from.size() + 1,
                                             std::vector<std::size_t>(to.size() + 1));
  for (std::size_t i = 0; i <= from.size(); ++i) {
    for (std::size_t j = 0; j <= to.size(); ++j) {
      if (i == 0 || j == 0) {
        cell[i][j] = i + j;
        continue;
      }
      cell[i][j] = std::min({cell[i - 1][j] + 1, cell[i][j - 1] + 1,
                             cell[i - 1][j - 1] + (from[i - 1] == to[j - 1] ? 0U : 1U)});
    }
  }
  return cell[from.size()][to.size()];
}

TEST(EditDistance, counts_insertions_deletions_and_replacements) {
  EXPECT_EQ(edit_distance("hello.Greter", "hello.Greeter", 3), 1U);
  EXPECT_EQ(edit_distance("hello.Greeter", "hello.Greeter", 0), 0U);
  EXPECT_EQ(edit_distance("abc", "axc", 1), 1U);
  EXPECT_EQ(edit_distance("", "abc", 3), 3U);
}

TEST(EditDistance, gives_up_beyond_the_limit) {
  EXPECT_EQ(edit_distance("abc", "xyz", 3), 3U);
  EXPECT_EQ(edit_distance("abc", "xyz", 2), std::nullopt);
  EXPECT_EQ(edit_distance("", "abcd", 3), std::nullopt);
}

TEST(EditDistance, agrees_with_the_textbook_on_random_words) {
  std::mt19937 random(7);  // NOLINT: the same words in every run.
  for (int round = 0; round < 20000; ++round) {
    std::string from(random() % 8, 'a');
    std::string to(random() % 8, 'a');
    for (char& c : from) c = static_cast<char>('a' + random() % 3);
    for (char& c : to) c = static_cast<char>('a' + random() % 3);
    const std::size_t most = random() % (kSuggestionEditsMax + 1);
    const std::size_t truth = full_distance(from, to);
    const auto measured = edit_distance(from, to, most);
    if (truth <= most) {
      ASSERT_EQ(measured, truth) << from << " to " << to << ", most " << most;
    } else {
      ASSERT_EQ(measured, std::nullopt) << from << " to " << to << ", most " << most;
    }
  }
}

TEST(EditDistance, short_names_are_forgiven_less) {
  EXPECT_EQ(forgiven_edits("ab"), 0U);
  EXPECT_EQ(forgiven_edits("abc"), 1U);
  EXPECT_EQ(forgiven_edits("hello.Greeter"), 3U);
}

}  // namespace
}  // namespace valkyrie::registry
