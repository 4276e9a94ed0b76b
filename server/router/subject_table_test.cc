#include "server/router/subject_table.h"

#include <algorithm>
#include <deque>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <set>
#include <string>

namespace valkyrie::router {
namespace {

struct Named : SubjectEntry {
  std::string filter;
};

// A table beside a plain list of what should be in it.
class Book {
 public:
  bool add(const std::string& filter) {
    auto entry = std::make_unique<Named>();
    entry->filter = filter;
    if (!table.add(*entry, filter)) return false;
    entries.push_back(std::move(entry));
    return true;
  }
  void remove(std::size_t index) {
    table.remove(*entries[index]);
    std::swap(entries[index], entries.back());
    entries.pop_back();
  }
  // Asks both; returns how many matched.
  std::size_t check(const std::string& subject) {
    std::vector<SubjectEntry*> found;
    const std::size_t visited = table.match(subject, found);
    EXPECT_LE(visited, table.visits_bound());
    EXPECT_LE(table.visits_bound(), kMatchVisitsMax);
    std::vector<SubjectEntry*> expected;
    for (const auto& entry : entries) {
      if (filter_matches(entry->filter, subject)) expected.push_back(entry.get());
    }
    std::ranges::sort(found);
    std::ranges::sort(expected);
    EXPECT_EQ(found, expected) << subject;
    return found.size();
  }

  SubjectTable table{42};
  std::deque<std::unique_ptr<Named>> entries;
};

TEST(SubjectTable, matches_as_the_table_of_the_specification_says) {
  Book book;
  for (const std::string filter : {"a.b", "a.*", "a.*.c", "a.>", ">"}) {
    EXPECT_TRUE(book.add(filter));
  }
  EXPECT_EQ(book.check("a.b"), 4u);
  EXPECT_EQ(book.check("a"), 1u);
  EXPECT_EQ(book.check("a.b.c"), 3u);
  EXPECT_EQ(book.check("A.b"), 1u);
  EXPECT_EQ(book.check("a.b.b.c"), 2u);
}

TEST(SubjectTable, gives_subjects_of_the_node_to_no_wildcard_in_front) {
  Book book;
  for (const std::string filter : {">", "*", "*.a", "*.>", "valkyrie.a", "valkyrie.>"}) {
    EXPECT_TRUE(book.add(filter));
  }
  EXPECT_EQ(book.check("valkyrie.a"), 2u);
  EXPECT_EQ(book.check("valkyrie"), 0u);
  EXPECT_EQ(book.check("valkyries.a"), 3u);
}

TEST(SubjectTable, holds_many_entries_of_one_filter_and_removes_any) {
  Book book;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(book.add("a.*.b"));
  EXPECT_EQ(book.table.nodes(), 4u);
  std::mt19937 random(1);
  while (!book.entries.empty()) {
    if (book.entries.size() % 100 == 0) {
      EXPECT_EQ(book.check("a.x.b"), book.entries.size());
    }
    book.remove(random() % book.entries.size());
  }
  EXPECT_EQ(book.table.nodes(), 1u) << "only the root is left";
  EXPECT_EQ(book.table.visits_bound(), 1u);
}

// Tokens so few that everything overlaps.
std::string random_text(std::mt19937& random, bool is_filter) {
  static constexpr const char* kTokens[] = {"a", "b", "valkyrie", "c-1", "*", ">"};
  std::string text;
  const std::size_t count = 1 + random() % 6;
  for (std::size_t i = 0; i < count; ++i) {
    const char* token = kTokens[random() % (is_filter ? (i + 1 == count ? 6 : 5) : 4)];
    if (i > 0) text += '.';
    text += token;
  }
  return text;
}

TEST(SubjectTable, agrees_with_a_list_under_random_changes) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Book book;
    for (int step = 0; step < 600; ++step) {
      const bool grows = (step / 150) % 2 == 0;
      if (random() % 4 != 0 ? grows : !grows) {
        (void)book.add(random_text(random, /*is_filter=*/true));
      } else if (!book.entries.empty()) {
        book.remove(random() % book.entries.size());
      }
      (void)book.check(random_text(random, /*is_filter=*/false));
    }
    while (!book.entries.empty()) book.remove(0);
    EXPECT_EQ(book.table.nodes(), 1u);
    EXPECT_EQ(book.table.visits_bound(), 1u);
  }
}

// All filters of `length` tokens, each `a` or `*`, ending in a token that no subject has: the most
// work for no result.
std::string bomb(std::size_t number, std::size_t length) {
  std::string text;
  for (std::size_t i = 0; i < length; ++i) text += (number >> i & 1U) != 0 ? "*." : "a.";
  return text + "never";
}

TEST(SubjectTable, refuses_wildcards_that_would_make_a_match_dear) {
  Book book;
  std::size_t refused = 0;
  for (std::size_t number = 0; number < (1U << 15U); ++number) {
    if (!book.add(bomb(number, 15))) ++refused;
  }
  EXPECT_GT(refused, 20'000u);
  EXPECT_GT(book.entries.size(), 200u);
  std::vector<SubjectEntry*> found;
  const std::size_t visited = book.table.match("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", found);
  EXPECT_LE(visited, kMatchVisitsMax);
  EXPECT_TRUE(found.empty());
  EXPECT_TRUE(book.add("orders.eu.created")) << "who has nothing to do with it is not refused";
  while (!book.entries.empty()) book.remove(book.entries.size() - 1);
  EXPECT_EQ(book.table.visits_bound(), 1u);
  EXPECT_TRUE(book.add("*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.>"));
}

TEST(SubjectTable, ten_levels_of_wildcards_beside_literals_are_in_order) {
  Book book;
  for (std::size_t number = 0; number < (1U << 10U); ++number) {
    ASSERT_TRUE(book.add(bomb(number, 10))) << number;
  }
  EXPECT_LE(book.table.visits_bound(), kMatchVisitsMax);
}

}  // namespace
}  // namespace valkyrie::router
