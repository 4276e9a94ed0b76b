// hello.json against protocol/hello.h.
#include "protocol/hello.h"

#include <gtest/gtest.h>

#include "tests/conformance/vector_file.h"

namespace valkyrie::conformance {
namespace {

using namespace valkyrie::protocol;

// Both frames read into one shape: version_min and version_max are 0 for HELLO_ACK, version for
// HELLO.
struct Decoded {
  std::uint8_t version_min = 0;
  std::uint8_t version_max = 0;
  std::uint8_t version = 0;
  HelloOptions options{};
};

std::expected<Decoded, HelloError> decode(const std::string& frame, const Bytes& body) {
  if (frame == "hello") {
    const auto hello = decode_hello(body);
    if (!hello) return std::unexpected(hello.error());
    return Decoded{hello->version_min, hello->version_max, 0, hello->options};
  }
  const auto ack = decode_hello_ack(body);
  if (!ack) return std::unexpected(ack.error());
  return Decoded{0, 0, ack->version, ack->options};
}

// All that a hello can mean, by the names of the vectors.
boost::json::object meaning_of(const Decoded& hello) {
  const HelloOptions& options = hello.options;
  return {{"version_min", hello.version_min},
          {"version_max", hello.version_max},
          {"version", hello.version},
          {"features", options.features},
          {"frame_body_bytes", options.frame_body_bytes},
          {"call_message_bytes", options.call_message_bytes},
          {"stream_message_bytes", options.stream_message_bytes},
          {"streams", options.streams},
          {"requests_in_flight", options.requests_in_flight},
          {"stream_credit_bytes", options.stream_credit_bytes},
          {"connection_credit_bytes", options.connection_credit_bytes},
          {"keepalive_interval_ms", options.keepalive_interval_ms},
          {"qos_ceiling", to_string(options.qos_ceiling)},
          {"agent", options.agent},
          {"token", hex_of(options.token)},
          {"token_bytes", options.token.size()},
          {"node_id", options.node_id},
          {"session_id", hex_of(options.session_id)}};
}

TEST(HelloVectors, valid_bodies_have_the_stated_meaning) {
  const auto file = load_vectors("hello.json");
  for (const auto& item : file.at("valid").as_array()) {
    const auto& vector = item.as_object();
    SCOPED_TRACE(text_of(vector, "name"));
    const Bytes body = bytes_of(vector.at("hex"));
    const auto hello = decode(text_of(vector, "frame"), body);
    ASSERT_TRUE(hello.has_value()) << to_string(hello.error().fault);
    const auto meaning = meaning_of(*hello);
    for (const auto& [key, want] : vector.at("meaning").as_object()) {
      ASSERT_TRUE(meaning.contains(key)) << std::string_view(key);
      EXPECT_EQ(boost::json::serialize(meaning.at(key)), boost::json::serialize(want))
          << std::string_view(key);
    }
  }
}

TEST(HelloVectors, invalid_bodies_are_refused_for_the_stated_reason) {
  const auto file = load_vectors("hello.json");
  for (const auto& item : file.at("invalid").as_array()) {
    const auto& vector = item.as_object();
    SCOPED_TRACE(text_of(vector, "name"));
    const Bytes body = bytes_of(vector.at("hex"));
    const auto hello = decode(text_of(vector, "frame"), body);
    ASSERT_FALSE(hello.has_value());
    EXPECT_EQ(to_string(hello.error().fault), text_of(vector, "check"));
    EXPECT_EQ(to_string(hello.error().close_code()), text_of(vector, "code"));
    EXPECT_EQ(hello.error().option, number_of(vector, "option"));
  }
}

}  // namespace
}  // namespace valkyrie::conformance
