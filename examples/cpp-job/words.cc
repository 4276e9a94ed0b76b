// words [--top N] [FILE...]: the most frequent words of files, or of standard input.
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <word_count.h>

int main(int argc, char** argv) {
  std::size_t most = 10;
  int next = 1;
  if (next + 1 < argc && std::strcmp(argv[next], "--top") == 0) {
    char* end = nullptr;
    most = std::strtoul(argv[next + 1], &end, 10);
    if (end == argv[next + 1] || *end != '\0') {
      std::cerr << "words: --top " << argv[next + 1] << ": not a number\n";
      return 2;
    }
    next += 2;
  }
  words::Counts counts;
  if (next == argc) words::count(std::cin, counts);
  for (; next < argc; ++next) {
    std::ifstream file(argv[next]);
    if (!file) {
      std::cerr << "words: " << argv[next] << ": cannot be read\n";
      return 1;
    }
    words::count(file, counts);
  }
  for (const auto& [word, times] : words::top(counts, most)) {
    std::cout << std::setw(7) << times << " " << word << "\n";
  }
  return std::cout.flush() ? 0 : 1;
}
