// frames.json against protocol/frame.h and protocol/frame_body.h.
#include <gtest/gtest.h>

#include "protocol/frame.h"
#include "protocol/properties.h"
#include "tests/conformance/described_frame.h"
#include "tests/conformance/vector_file.h"

namespace valkyrie::conformance {
namespace {

using namespace valkyrie::protocol;

std::span<const std::byte, kHeaderBytes> header_of(const Bytes& bytes) {
  EXPECT_GE(bytes.size(), kHeaderBytes);
  return std::span(bytes).first<kHeaderBytes>();
}

void expect_frame(const boost::json::object& want, const FrameHeader& header,
                  std::span<const std::byte> body) {
  EXPECT_EQ(to_string(header.type), text_of(want, "type"));
  EXPECT_EQ(header.flags, number_of(want, "flags"));
  EXPECT_EQ(header.qos, number_of(want, "qos"));
  EXPECT_EQ(header.stream, number_of(want, "stream"));
  EXPECT_EQ(header.correlation, number_of(want, "correlation"));
  EXPECT_EQ(hex_of(body.first(header.metadata_bytes)), text_of(want, "metadata"));
  const auto payload = body.subspan(header.metadata_bytes);
  EXPECT_EQ(hex_of(payload), text_of(want, "payload"));
  if (!want.contains("body")) return;
  const auto described = describe_body(header.type, payload);
  EXPECT_TRUE(matches(want.at("body").as_object(), described)) << boost::json::serialize(described);
}

TEST(FrameVectors, valid_frames_have_the_stated_meaning) {
  const auto file = load_vectors("frames.json");
  const auto limit = static_cast<std::uint32_t>(number_of(file, "body_bytes_max"));
  for (const auto& item : file.at("valid").as_array()) {
    const auto& vector = item.as_object();
    SCOPED_TRACE(text_of(vector, "name"));
    const Bytes bytes = bytes_of(vector.at("hex"));
    const auto header = decode_header(header_of(bytes), limit);
    ASSERT_TRUE(header.has_value());
    ASSERT_EQ(bytes.size(), kHeaderBytes + header->body_bytes);
    const auto& want = vector.at("frame").as_object();
    if (text_of(want, "type") == "ignorable") {
      EXPECT_TRUE(properties(header->type).ignorable);
      continue;
    }
    expect_frame(want, *header, std::span(bytes).subspan(kHeaderBytes));
    std::array<std::byte, kHeaderBytes> again;
    encode_header(*header, again);
    EXPECT_EQ(hex_of(again), hex_of(header_of(bytes)));
  }
}

TEST(FrameVectors, every_type_has_a_valid_vector) {
  const auto file = load_vectors("frames.json");
  std::array<bool, 256> seen{};
  for (const auto& item : file.at("valid").as_array()) {
    seen[std::to_integer<std::size_t>(bytes_of(item.at("hex"))[3])] = true;
  }
  for (std::size_t type = 0; type < 256; ++type) {
    EXPECT_TRUE(seen[type] || !kFrameProperties[type].known) << type;
  }
}

TEST(FrameVectors, invalid_headers_fail_the_stated_check_with_the_stated_code) {
  const auto file = load_vectors("frames.json");
  const auto limit = static_cast<std::uint32_t>(number_of(file, "body_bytes_max"));
  for (const auto& item : file.at("invalid").as_array()) {
    const auto& vector = item.as_object();
    SCOPED_TRACE(text_of(vector, "name"));
    const Bytes bytes = bytes_of(vector.at("hex"));
    const auto header = decode_header(header_of(bytes), limit);
    ASSERT_FALSE(header.has_value());
    EXPECT_EQ(to_string(header.error()), text_of(vector, "code"));
    EXPECT_EQ(to_string(first_failed_check(header_of(bytes), limit)), text_of(vector, "check"));
  }
}

}  // namespace
}  // namespace valkyrie::conformance
