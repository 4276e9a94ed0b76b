// Every transcript of transcripts/, each a test of its own.
#include "tests/conformance/transcript.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <string>
#include <tuple>
#include <vector>

#include "tests/conformance/vector_file.h"

namespace valkyrie::conformance {
namespace {

// Named before main(), where nothing can catch: without ctest's variable there are no tests.
std::vector<std::string> transcript_names() {
  std::vector<std::string> names;
  if (std::getenv("VALKYRIE_SOURCE_DIR") == nullptr) return names;
  const std::filesystem::path folder = source_folder() + "/tests/conformance/transcripts";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  return names;
}

// Name of the transcript, bytes of each read.
using Parameter = std::tuple<std::string, std::size_t>;

class TranscriptTest : public testing::TestWithParam<Parameter> {};

TEST_P(TranscriptTest, is_followed_step_by_step) {
  const auto& [name, read_bytes] = GetParam();
  const auto file = load_vectors("transcripts/" + name + ".json");
  SCOPED_TRACE(text_of(file, "about"));
  Transcript(file, read_bytes).run();
}

// How bytes are cut on the way must change nothing.
INSTANTIATE_TEST_SUITE_P(Session, TranscriptTest,
                         testing::Combine(testing::ValuesIn(transcript_names()),
                                          testing::Values(1u << 20u, 1u, 7u, 21u)),
                         [](const auto& parameter) {
                           return std::get<0>(parameter.param) + "_in_reads_of_" +
                                  std::to_string(std::get<1>(parameter.param));
                         });

}  // namespace
}  // namespace valkyrie::conformance
