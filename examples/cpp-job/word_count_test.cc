// The tests of word_count.h, without a framework: the example has no dependencies.
#include <iostream>
#include <sstream>
#include <word_count.h>

namespace {

int failures = 0;

words::Counts counts_of(const std::string& text) {
  std::istringstream stream(text);
  words::Counts counts;
  words::count(stream, counts);
  return counts;
}

void expect(bool holds, const char* what) {
  std::cout << (holds ? "  ok    " : "  FAIL  ") << what << "\n";
  if (!holds) ++failures;
}

}  // namespace

int main() {
  using words::Counts;
  expect(counts_of("").empty(), "an empty text has no words");
  expect(counts_of(" ,.;\n--'' ").empty(), "punctuation alone is no word");
  expect(counts_of("one") == Counts{{"one", 1}}, "the last word needs no end");
  expect(counts_of("Tea, tea; TEA!") == Counts{{"tea", 3}}, "upper and lower case are the same");
  expect(counts_of("it's 'quoted'") == Counts{{"it's", 1}, {"quoted", 1}},
         "an apostrophe counts inside a word only");
  expect(counts_of("caf\xc3\xa9 caf\xc3\xa9") == Counts{{"caf\xc3\xa9", 2}}, "UTF-8 stays whole");

  const Counts counts = counts_of("c b a b c c");
  using Top = std::vector<std::pair<std::string, std::size_t>>;
  expect(words::top(counts, 2) == Top{{"c", 3}, {"b", 2}}, "the most frequent come first");
  expect(words::top(counts, 9).size() == 3, "asking for more than there are gives all");
  expect(words::top(counts_of("b a"), 1) == Top{{"a", 1}}, "ties go by alphabet");
  return failures == 0 ? 0 : 1;
}
