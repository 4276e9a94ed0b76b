// Counts the words of a text.
#pragma once

#include <cstddef>
#include <istream>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace words {

// How often each word was seen.
using Counts = std::map<std::string, std::size_t>;

// Adds the words of `text` to `counts`. A word is a longest run of letters, digits and apostrophes
// inside it; upper and lower case are the same. Bytes above 127 are letters, so UTF-8 stays whole.
void count(std::istream& text, Counts& counts);

// The `most` words seen most often, the most frequent first, equally frequent ones by alphabet.
std::vector<std::pair<std::string, std::size_t>> top(const Counts& counts, std::size_t most);

}  // namespace words
