// Filters and subjects as peers may send them: the grammar never accepts what the table cannot
// hold, and the table agrees with the definition and keeps its bound.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "protocol/assert.h"
#include "server/router/subject_table.h"

using namespace valkyrie::router;

namespace {

struct Named : SubjectEntry {
  std::string_view filter;
};

}  // namespace

// Lines: `+filter` adds, `-` removes the oldest, anything else is a subject.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  SubjectTable table(1);
  std::deque<Named> entries;
  std::vector<SubjectEntry*> found;
  while (!input.empty()) {
    const std::size_t end = std::min(input.find('\n'), input.size());
    const std::string_view line = input.substr(0, end);
    input.remove_prefix(std::min(end + 1, input.size()));
    if (line.starts_with('-')) {
      if (entries.empty()) continue;
      table.remove(entries.front());
      entries.pop_front();
    } else if (line.starts_with('+')) {
      if (check_subject(line.substr(1), SubjectForm::filter)) continue;
      entries.emplace_back().filter = line.substr(1);
      if (!table.add(entries.back(), line.substr(1))) entries.pop_back();
    } else if (!check_subject(line, SubjectForm::subject)) {
      found.clear();
      VALKYRIE_ASSERT(table.match(line, found) <= table.visits_bound());
      const auto expected = std::ranges::count_if(
          entries, [&](const Named& entry) { return filter_matches(entry.filter, line); });
      VALKYRIE_ASSERT(found.size() == static_cast<std::size_t>(expected));
    }
    VALKYRIE_ASSERT(table.visits_bound() <= kMatchVisitsMax);
    VALKYRIE_ASSERT(table.size() == entries.size());
  }
  return 0;
}
