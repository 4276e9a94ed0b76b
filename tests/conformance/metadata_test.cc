// metadata.json, status.json and codes.json against protocol/metadata.h, status.h, constants.h.
#include "protocol/metadata.h"

#include <array>
#include <gtest/gtest.h>
#include <optional>

#include "protocol/properties.h"
#include "tests/conformance/vector_file.h"

namespace valkyrie::conformance {
namespace {

using namespace valkyrie::protocol;

FrameType frame_type(std::string_view name) {
  for (const FrameType type : kMetadataFrames) {
    if (to_string(type) == name) return type;
  }
  throw std::runtime_error("no frame with metadata is named " + std::string(name));
}

std::string text(std::optional<std::span<const std::byte>> value) {
  if (!value) return "absent";
  return {reinterpret_cast<const char*>(value->data()), value->size()};
}

std::string hex(std::optional<std::span<const std::byte>> value) {
  return value ? hex_of(*value) : "absent";
}

void expect_status(const boost::json::object& want, const std::optional<Status>& status) {
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(to_string(status->code), text_of(want, "code"));
  EXPECT_EQ(to_string(status->outcome), text_of(want, "outcome"));
  if (want.contains("text_bytes")) {
    EXPECT_EQ(status->text.size(), number_of(want, "text_bytes"));
  } else {
    EXPECT_EQ(status->text, text_of(want, "text"));
  }
}

void expect_pairs(const boost::json::array& want, const MetadataView& view) {
  std::size_t index = 0;
  view.for_each_pair([&](std::string_view name, std::string_view value) {
    ASSERT_LT(index, want.size());
    const auto& pair = want[index++].as_array();
    EXPECT_EQ(name, std::string_view(pair[0].as_string()));
    const auto raw = std::as_bytes(std::span(value));
    if (pair[1].is_object()) {
      EXPECT_EQ(hex_of(raw), text_of(pair[1].as_object(), "hex"));
    } else {
      EXPECT_EQ(value, std::string_view(pair[1].as_string()));
    }
  });
  EXPECT_EQ(index, want.size());
}

void expect_number(const std::string& key, std::uint64_t want, const MetadataView& view) {
  if (key == "deadline_ns") {
    ASSERT_TRUE(view.deadline().has_value());
    EXPECT_EQ(static_cast<std::uint64_t>(view.deadline()->count()), want);
  } else if (key == "retry_after_ms") {
    const auto value = view.find(MetadataKey::retry_after);
    ASSERT_TRUE(value.has_value());
    EXPECT_EQ(load_big_endian<std::uint32_t>(value->data()), want);
  } else if (key == "pairs_count") {
    std::size_t count = 0;
    view.for_each_pair([&](std::string_view, std::string_view) { ++count; });
    EXPECT_EQ(count, want);
  } else if (key == "hops") {
    EXPECT_EQ(view.octet(MetadataKey::hops), want);
  } else if (key == "attempt") {
    EXPECT_EQ(view.octet(MetadataKey::attempt), want);
  } else if (key == "ack_level") {
    EXPECT_EQ(view.octet(MetadataKey::ack_level), want);
  } else if (key == "compression") {
    EXPECT_EQ(view.octet(MetadataKey::compression), want);
  } else {
    ADD_FAILURE() << "the test does not know the meaning " << key;
  }
}

// A member whose value is text, or hex where the key holds bytes.
void expect_text(const std::string& key, const std::string& want, const MetadataView& view) {
  if (key == "service") {
    EXPECT_EQ(view.service(), want);
  } else if (key == "method") {
    EXPECT_EQ(view.method(), want);
  } else if (key == "subject") {
    EXPECT_EQ(text(view.find(MetadataKey::subject)), want);
  } else if (key == "group") {
    EXPECT_EQ(text(view.find(MetadataKey::group)), want);
  } else if (key == "trace_state") {
    EXPECT_EQ(text(view.find(MetadataKey::trace_state)), want);
  } else if (key == "content_type") {
    EXPECT_EQ(text(view.find(MetadataKey::content_type)), want);
  } else if (key == "affinity") {
    EXPECT_EQ(hex(view.find(MetadataKey::affinity)), want);
  } else if (key == "authorization") {
    EXPECT_EQ(hex(view.find(MetadataKey::authorization)), want);
  } else if (key == "trace") {
    EXPECT_EQ(hex(view.find(MetadataKey::trace)), want);
  } else if (key == "idempotency_key") {
    EXPECT_EQ(hex(view.find(MetadataKey::idempotency_key)), want);
  } else if (key == "status_detail") {
    EXPECT_EQ(hex(view.find(MetadataKey::status_detail)), want);
  } else {
    ADD_FAILURE() << "the test does not know the meaning " << key;
  }
}

void expect_meaning(const boost::json::object& meaning, const MetadataView& view) {
  for (const auto& [name, value] : meaning) {
    const std::string key(name);
    SCOPED_TRACE(key);
    if (key == "status") {
      expect_status(value.as_object(), view.status());
    } else if (key == "pairs") {
      expect_pairs(value.as_array(), view);
    } else if (key == "identity") {
      const auto identity = view.identity();
      ASSERT_TRUE(identity.has_value());
      EXPECT_EQ(identity->method, number_of(value.as_object(), "method"));
      EXPECT_EQ(identity->tenant, text_of(value.as_object(), "tenant"));
      EXPECT_EQ(identity->subject, text_of(value.as_object(), "subject"));
    } else if (value.is_string()) {
      expect_text(key, std::string(value.as_string()), view);
    } else {
      expect_number(key, value.to_number<std::uint64_t>(), view);
    }
  }
}

TEST(MetadataVectors, valid_metadata_has_the_stated_meaning) {
  const auto file = load_vectors("metadata.json");
  for (const auto& item : file.at("valid").as_array()) {
    const auto& vector = item.as_object();
    SCOPED_TRACE(text_of(vector, "name"));
    const Bytes bytes = bytes_of(vector.at("hex"));
    const auto reader =
        text_of(vector, "reader") == "relay" ? MetadataReader::relay : MetadataReader::end;
    const auto view = parse_metadata(bytes, frame_type(text_of(vector, "frame")), reader);
    ASSERT_TRUE(view.has_value()) << to_string(view.error());
    expect_meaning(vector.at("meaning").as_object(), *view);
  }
}

TEST(MetadataVectors, invalid_metadata_is_refused_for_the_stated_reason) {
  const auto file = load_vectors("metadata.json");
  for (const auto& item : file.at("invalid").as_array()) {
    const auto& vector = item.as_object();
    SCOPED_TRACE(text_of(vector, "name"));
    const Bytes bytes = bytes_of(vector.at("hex"));
    const auto view = parse_metadata(bytes, frame_type(text_of(vector, "frame")));
    ASSERT_FALSE(view.has_value());
    EXPECT_EQ(to_string(view.error()), text_of(vector, "check"));
    EXPECT_EQ(is_unimplemented(view.error()) ? "unimplemented" : "bad_metadata",
              text_of(vector, "result"));
  }
}

TEST(MetadataVectors, a_relay_sends_on_the_stated_bytes) {
  const auto file = load_vectors("metadata.json");
  for (const auto& item : file.at("rewrite").as_array()) {
    const auto& vector = item.as_object();
    SCOPED_TRACE(text_of(vector, "name"));
    const Bytes in = bytes_of(vector.at("in"));
    const Bytes hop = bytes_of(vector.at("hop"));
    const auto trust =
        vector.at("trusted").as_bool() ? PairTrust::trusted : PairTrust::strip_node_pairs;
    const auto view =
        parse_metadata(in, frame_type(text_of(vector, "frame")), MetadataReader::relay);
    ASSERT_TRUE(view.has_value());
    std::array<std::byte, kMetadataBytes> out;
    const auto size = rewrite_for_next_hop(*view, hop, trust, out);
    ASSERT_TRUE(size.has_value());
    EXPECT_EQ(hex_of(std::span(out).first(*size)), text_of(vector, "out"));
  }
}

TEST(StatusVectors, values_have_the_stated_meaning_or_are_refused) {
  const auto file = load_vectors("status.json");
  for (const auto& item : file.at("valid").as_array()) {
    SCOPED_TRACE(text_of(item.as_object(), "name"));
    const Bytes bytes = bytes_of(item.at("hex"));
    expect_status(item.as_object(), decode_status(bytes));
  }
  for (const auto& item : file.at("invalid").as_array()) {
    SCOPED_TRACE(text_of(item.as_object(), "name"));
    EXPECT_FALSE(decode_status(bytes_of(item.at("hex"))).has_value());
  }
}

TEST(CodeVectors, callers_see_the_stated_status) {
  const auto file = load_vectors("codes.json");
  for (const auto& item : file.at("codes").as_array()) {
    const auto& vector = item.as_object();
    SCOPED_TRACE(text_of(vector, "code"));
    const auto code = static_cast<CloseCode>(number_of(vector, "number"));
    EXPECT_EQ(to_string(code), text_of(vector, "code"));
    EXPECT_EQ(to_string(caller_status(code)), text_of(vector, "status"));
    EXPECT_EQ(static_cast<std::uint64_t>(caller_status(code)), number_of(vector, "status_number"));
    EXPECT_EQ(proves_not_executed(code), vector.at("not_executed").as_bool());
  }
}

}  // namespace
}  // namespace valkyrie::conformance
