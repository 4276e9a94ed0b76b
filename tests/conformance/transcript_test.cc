// Every transcript of transcripts/, each a test of its own.
#include "tests/conformance/transcript.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

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

class TranscriptTest : public testing::TestWithParam<std::string> {};

TEST_P(TranscriptTest, is_followed_step_by_step) {
  const auto file = load_vectors("transcripts/" + GetParam() + ".json");
  SCOPED_TRACE(text_of(file, "about"));
  Transcript(file).run();
}

INSTANTIATE_TEST_SUITE_P(Session, TranscriptTest, testing::ValuesIn(transcript_names()),
                         [](const auto& transcript) { return transcript.param; });

}  // namespace
}  // namespace valkyrie::conformance
