#include "protocol/hello.h"

#include <array>
#include <cstdint>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "protocol/properties.h"

namespace valkyrie::protocol {
namespace {

using Bytes = std::vector<std::byte>;

// A hello body as a peer may send it: nothing is checked.
class Raw {
 public:
  explicit Raw(std::initializer_list<unsigned> fixed) {
    for (const unsigned b : fixed) bytes_.push_back(static_cast<std::byte>(b));
  }
  Raw& add(unsigned id, const std::string& value) { return add_lying(id, value.size(), value); }
  Raw& add_lying(unsigned id, std::size_t stated_bytes, const std::string& value) {
    for (const std::size_t part : {std::size_t{id}, stated_bytes}) {
      bytes_.push_back(static_cast<std::byte>(part >> 8u));
      bytes_.push_back(static_cast<std::byte>(part & 0xFFu));
    }
    for (const char c : value) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  Raw& add_u32(unsigned id, std::uint32_t value) {
    std::string text;
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xFFu);
    return add(id, text);
  }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

Raw hello() { return Raw({2, 2}); }

std::string verdict(const Raw& raw) {
  const auto decoded = decode_hello(raw.bytes());
  return decoded ? "ok" : std::string(to_string(decoded.error().fault));
}

std::string ack_verdict(const Raw& raw) {
  const auto decoded = decode_hello_ack(raw.bytes());
  return decoded ? "ok" : std::string(to_string(decoded.error().fault));
}

TEST(Hello, defaults_cost_two_bytes) {
  std::array<std::byte, 64> out;
  EXPECT_EQ(encode_hello({}, Grease::no, out), 2u);
  EXPECT_EQ(encode_hello_ack({}, Grease::no, out), 1u);
  const auto decoded = decode_hello(hello().bytes());
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->options.frame_body_bytes, kFrameBodyBytesDefault);
  EXPECT_EQ(decoded->options.keepalive_interval_ms, 30'000u);
  EXPECT_EQ(decoded->options.qos_ceiling, QosClass::job);
}

TEST(Hello, every_option_comes_back) {
  const std::array<std::byte, 3> token{std::byte{1}, std::byte{0}, std::byte{255}};
  Hello sent;
  sent.options.features = 1u << 5u;
  sent.options.frame_body_bytes = 32768;
  sent.options.call_message_bytes = 1u << 20u;
  sent.options.stream_message_bytes = 1u << 21u;
  sent.options.streams = 0;
  sent.options.requests_in_flight = 1;
  sent.options.stream_credit_bytes = 1u << 18u;
  sent.options.connection_credit_bytes = 1u << 22u;
  sent.options.agent = "test/1";
  sent.options.token = token;
  sent.options.node_id = "n1";
  std::array<std::byte, 256> out;
  const auto size = encode_hello(sent, Grease::yes, out);
  ASSERT_TRUE(size.has_value());
  const auto got = decode_hello(std::span(out).first(*size));
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->options.features, 1u << 5u);
  EXPECT_EQ(got->options.frame_body_bytes, 32768u);
  EXPECT_EQ(got->options.call_message_bytes, 1u << 20u);
  EXPECT_EQ(got->options.stream_message_bytes, 1u << 21u);
  EXPECT_EQ(got->options.streams, 0u);
  EXPECT_EQ(got->options.requests_in_flight, 1u);
  EXPECT_EQ(got->options.stream_credit_bytes, 1u << 18u);
  EXPECT_EQ(got->options.connection_credit_bytes, 1u << 22u);
  EXPECT_EQ(got->options.agent, "test/1");
  EXPECT_EQ(Bytes(got->options.token.begin(), got->options.token.end()),
            Bytes(token.begin(), token.end()));
  EXPECT_EQ(got->options.node_id, "n1");
}

TEST(HelloAck, every_option_comes_back) {
  const std::array<std::byte, 16> id{std::byte{7}};
  HelloAck sent;
  sent.options.keepalive_interval_ms = 5000;
  sent.options.qos_ceiling = QosClass::critical;
  sent.options.session_id = id;
  std::array<std::byte, 64> out;
  const auto size = encode_hello_ack(sent, Grease::no, out);
  ASSERT_TRUE(size.has_value());
  const auto got = decode_hello_ack(std::span(out).first(*size));
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->options.keepalive_interval_ms, 5000u);
  EXPECT_EQ(got->options.qos_ceiling, QosClass::critical);
  EXPECT_EQ(got->options.session_id.size(), 16u);
}

TEST(Hello, encoding_fits_exactly_or_says_so) {
  Hello sent;
  sent.options.agent = "test/1";
  std::array<std::byte, 64> out;
  const std::size_t size = *encode_hello(sent, Grease::yes, out);
  for (std::size_t room = 0; room <= size; ++room) {
    EXPECT_EQ(encode_hello(sent, Grease::yes, std::span(out).first(room)).has_value(),
              room == size);
  }
  EXPECT_FALSE(encode_hello_ack({}, Grease::no, {}).has_value());
}

TEST(Hello, every_proper_prefix_of_an_option_is_truncated) {
  const Raw whole = hello().add(0x000B, "agent");
  for (std::size_t size = 0; size < whole.bytes().size(); ++size) {
    const auto decoded = decode_hello(std::span(whole.bytes()).first(size));
    EXPECT_EQ(decoded.has_value(), size == 2) << size;
    if (decoded) continue;
    EXPECT_EQ(decoded.error().fault, HelloFault::truncated) << size;
  }
  EXPECT_EQ(verdict(hello().add_lying(0x000B, 6, "agent")), "truncated");
  EXPECT_EQ(ack_verdict(Raw({})), "truncated");
}

TEST(Hello, versions_meet_or_the_code_is_version) {
  EXPECT_EQ(verdict(Raw({1, 2})), "ok");
  EXPECT_EQ(verdict(Raw({2, 255})), "ok");
  EXPECT_EQ(verdict(Raw({3, 4})), "no_common_version");
  EXPECT_EQ(verdict(Raw({0, 1})), "no_common_version");
  EXPECT_EQ(verdict(Raw({3, 2})), "bad_version");
  EXPECT_EQ(ack_verdict(Raw({3})), "bad_version");
  EXPECT_EQ(decode_hello(Raw({3, 4}).bytes()).error().close_code(), CloseCode::version);
  EXPECT_EQ(decode_hello(Raw({3, 2}).bytes()).error().close_code(), CloseCode::protocol_violation);
}

TEST(Hello, options_ascend) {
  EXPECT_EQ(verdict(hello().add(0x000B, "a").add(0x000D, "n")), "ok");
  EXPECT_EQ(verdict(hello().add(0x000D, "n").add(0x000B, "a")), "option_order");
  EXPECT_EQ(verdict(hello().add(0x000B, "a").add(0x000B, "a")), "option_order");
  EXPECT_EQ(verdict(hello().add(0x0000, "").add(0x0000, "")), "option_order");
}

TEST(Hello, unknown_options_are_skipped_below_0x8000_and_refused_by_name_from_there) {
  EXPECT_EQ(verdict(hello().add(0x0000, "")), "ok");
  EXPECT_EQ(verdict(hello().add(0x7A7A, "grease")), "ok");
  EXPECT_EQ(verdict(hello().add(0x7FFF, "")), "ok");
  const auto refused = decode_hello(hello().add(0x8000, "").bytes());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error(), (HelloError{HelloFault::unknown_required, 0x8000}));
  EXPECT_EQ(refused.error().close_code(), CloseCode::feature);
}

TEST(Hello, options_belong_to_their_frame) {
  EXPECT_EQ(verdict(hello().add(0x000A, std::string(1, '\0'))), "wrong_frame");
  EXPECT_EQ(ack_verdict(Raw({2}).add(0x000A, std::string(1, '\0'))), "ok");
  EXPECT_EQ(ack_verdict(Raw({2}).add(0x000C, "token")), "wrong_frame");
  EXPECT_EQ(verdict(hello().add(0x000C, "token")), "ok");
}

TEST(Hello, values_have_the_length_of_the_table_on_both_sides) {
  for (const HelloOptionProperties& rules : kHelloOptionProperties) {
    const auto id = static_cast<unsigned>(rules.id);
    const auto ask = [&](std::size_t bytes, char fill) {
      const std::string value(bytes, fill);
      return rules.in_hello ? verdict(hello().add(id, value))
                            : ack_verdict(Raw({2}).add(id, value));
    };
    const char fill = rules.id == HelloOption::qos_ceiling ? '\x01' : 'a';
    EXPECT_EQ(ask(rules.value_min, fill), "ok") << id;
    EXPECT_EQ(ask(rules.value_max, fill), "ok") << id;
    EXPECT_EQ(ask(rules.value_max + 1u, fill), "value_length") << id;
    if (rules.value_min == 0) continue;
    EXPECT_EQ(ask(rules.value_min - 1u, fill), "value_length") << id;
  }
}

TEST(Hello, limits_below_the_least_are_refused_and_above_the_most_are_cut) {
  const auto body = [](std::uint32_t bytes) { return hello().add_u32(0x0002, bytes); };
  EXPECT_EQ(verdict(body(kFrameBodyBytesMin)), "ok");
  EXPECT_EQ(verdict(body(kFrameBodyBytesMin - 1)), "value");
  EXPECT_EQ(decode_hello(body(kFrameBodyBytesMax + 1).bytes())->options.frame_body_bytes,
            kFrameBodyBytesMax);
  EXPECT_EQ(verdict(hello().add_u32(0x0005, 0)), "ok") << "a client may refuse all streams";
  EXPECT_EQ(verdict(hello().add_u32(0x0006, 0)), "value");
}

TEST(Hello, text_is_printable_and_classes_have_names) {
  EXPECT_EQ(verdict(hello().add(0x000B, "a\n")), "value");
  EXPECT_EQ(verdict(hello().add(0x000D, "\x7F")), "value");
  EXPECT_EQ(ack_verdict(Raw({2}).add(0x000A, "\x04")), "ok");
  EXPECT_EQ(ack_verdict(Raw({2}).add(0x000A, "\x05")), "value");
}

}  // namespace
}  // namespace valkyrie::protocol
