// Every hex block of docs/spec/*.md means what the JSON block behind it says.
//
// ```hex frames      whole frames, each described by one object of the array
// ```hex metadata F  metadata of a frame of type F, described by the only object of the array
// # begins a comment.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <stdexcept>

#include "protocol/frame.h"
#include "protocol/metadata.h"
#include "protocol/properties.h"
#include "tests/conformance/described_frame.h"
#include "tests/conformance/vector_file.h"

namespace valkyrie::conformance {
namespace {

using namespace valkyrie::protocol;

struct Example {
  std::string place;
  std::string kind;  // "frames", "metadata request", ...
  Bytes bytes;
  boost::json::array meaning;
};

std::string without_comment(const std::string& line) { return line.substr(0, line.find('#')); }

// Lines up to the closing fence.
std::string read_block(std::istream& in, bool is_hex) {
  std::string text;
  for (std::string line; std::getline(in, line) && line != "```";) {
    text += is_hex ? without_comment(line) : line;
    text += ' ';
  }
  return text;
}

std::vector<Example> read_examples(const std::filesystem::path& document) {
  std::vector<Example> examples;
  std::ifstream in(document);
  std::string line;
  while (std::getline(in, line)) {
    constexpr std::string_view kFence = "```hex ";
    if (!line.starts_with(kFence)) continue;
    Example example{
        .place = document.filename().string() + ": example " + std::to_string(examples.size() + 1),
        .kind = line.substr(kFence.size())};
    example.bytes = bytes_of(boost::json::string(read_block(in, /*is_hex=*/true)));
    if (!std::getline(in, line) || line != "```json") {
      throw std::runtime_error(example.place + " has no meaning behind it");
    }
    example.meaning = boost::json::parse(read_block(in, /*is_hex=*/false)).as_array();
    examples.push_back(std::move(example));
  }
  return examples;
}

std::vector<Example> all_examples() {
  std::vector<Example> examples;
  for (const auto& entry : std::filesystem::directory_iterator(source_folder() + "/docs/spec")) {
    if (entry.path().extension() != ".md") continue;
    auto of_document = read_examples(entry.path());
    std::move(of_document.begin(), of_document.end(), std::back_inserter(examples));
  }
  return examples;
}

void expect_match(const boost::json::value& want, const boost::json::object& actual) {
  EXPECT_TRUE(matches(want.as_object(), actual))
      << boost::json::serialize(want) << "\nbut it is " << boost::json::serialize(actual);
}

void check_frames(const Example& example) {
  std::span<const std::byte> left = example.bytes;
  std::size_t index = 0;
  while (!left.empty()) {
    ASSERT_GE(left.size(), kHeaderBytes);
    const auto header = decode_header(left.first<kHeaderBytes>(), kFrameBodyBytesDefault);
    ASSERT_TRUE(header.has_value()) << "frame " << index << ": " << to_string(header.error());
    ASSERT_GE(left.size(), kHeaderBytes + header->body_bytes);
    const auto body = left.subspan(kHeaderBytes, header->body_bytes);
    if (!properties(header->type).ignorable) {
      EXPECT_TRUE(parse_metadata(body.first(header->metadata_bytes), header->type).has_value());
    }
    ASSERT_LT(index, example.meaning.size());
    expect_match(example.meaning[index++], describe_frame(*header, body));
    left = left.subspan(kHeaderBytes + header->body_bytes);
  }
  EXPECT_EQ(index, example.meaning.size());
}

void check_metadata(const Example& example) {
  const std::string frame = example.kind.substr(example.kind.find(' ') + 1);
  for (const FrameType type : kMetadataFrames) {
    if (to_string(type) != frame) continue;
    const auto view = parse_metadata(example.bytes, type);
    ASSERT_TRUE(view.has_value()) << to_string(view.error());
    ASSERT_EQ(example.meaning.size(), 1u);
    expect_match(example.meaning[0], describe_metadata(*view));
    return;
  }
  ADD_FAILURE() << "no frame with metadata is named " << frame;
}

TEST(SpecExamples, every_hex_block_has_the_meaning_behind_it) {
  for (const Example& example : all_examples()) {
    SCOPED_TRACE(example.place);
    if (example.kind == "frames") {
      check_frames(example);
    } else if (example.kind.starts_with("metadata ")) {
      check_metadata(example);
    } else {
      ADD_FAILURE() << "unknown kind of example: " << example.kind;
    }
  }
}

TEST(SpecExamples, every_frame_type_has_one) {
  // Those of later features have their layout in words only.
  std::array<bool, 256> seen{};
  for (const Example& example : all_examples()) {
    if (example.kind != "frames") continue;
    for (const auto& meaning : example.meaning) {
      const std::string type = text_of(meaning.as_object(), "type");
      for (std::size_t at = 0; at < 256; ++at) {
        if (to_string(static_cast<FrameType>(at)) == type) seen[at] = true;
      }
    }
  }
  for (std::size_t at = 0; at < 256; ++at) {
    const FrameProperties& rules = kFrameProperties[at];
    const bool later = rules.needs_feature || (rules.kinds != 0 && (rules.kinds & 0x06) == 0);
    EXPECT_TRUE(seen[at] || !rules.known || later) << at;
  }
}

}  // namespace
}  // namespace valkyrie::conformance
