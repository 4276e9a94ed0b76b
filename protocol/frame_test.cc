#include "protocol/frame.h"

#include <array>
#include <cstdint>
#include <gtest/gtest.h>
#include <limits>

#include "protocol/frame_body.h"
#include "protocol/properties.h"

namespace valkyrie::protocol {
namespace {

using Bytes = std::array<std::byte, kHeaderBytes>;

constexpr std::uint32_t kBodyMax = kFrameBodyBytesDefault;

Bytes encoded(const FrameHeader& header) {
  Bytes bytes{};
  encode_header(header, bytes);
  return bytes;
}

FrameHeader request() {
  return {.type = FrameType::request,
          .qos = qos_byte(QosClass::data),
          .stream = 1,
          .body_bytes = 5,
          .correlation = 7};
}

// The least header of a type that passes all checks.
FrameHeader least(FrameType type) {
  const FrameProperties& rules = properties(type);
  return {.type = type,
          .stream = rules.stream_zero ? 0u : 1u,
          .body_bytes = rules.payload_min,
          .correlation = rules.correlation_zero ? 0u : 1u};
}

CloseCode code_of(const Bytes& bytes, std::uint32_t body_bytes_max = kBodyMax) {
  const auto header = decode_header(bytes, body_bytes_max);
  return header ? CloseCode::none : header.error();
}

HeaderCheck check_of(const FrameHeader& header) {
  return first_failed_check(encoded(header), kBodyMax);
}

template <typename Each>
void for_each_known_type(Each each) {
  for (unsigned number = 0; number < 256; ++number) {
    if (kFrameProperties[number].known) each(static_cast<FrameType>(number));
  }
}

TEST(FrameHeader, layout_is_that_of_the_spec) {
  const Bytes bytes = encoded({.type = FrameType::request,
                               .flags = kFlagMore,
                               .qos = 0x70,
                               .metadata_bytes = 0x0102,
                               .stream = 0x03040506,
                               .body_bytes = 0x0708090A,
                               .correlation = 0x0B0C0D0E});
  constexpr std::array<unsigned, kHeaderBytes> kWant = {
      0x56, 0x4B, 0x02, 0x80, 0x04, 0x70, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
  for (std::size_t i = 0; i < kHeaderBytes; ++i) {
    EXPECT_EQ(std::to_integer<unsigned>(bytes[i]), kWant[i]) << "offset " << i;
  }
}

TEST(FrameHeader, decoding_returns_what_was_encoded) {
  for_each_known_type([](FrameType type) {
    const FrameHeader header = least(type);
    const auto decoded = decode_header(encoded(header), kBodyMax);
    ASSERT_TRUE(decoded.has_value()) << to_string(type);
    EXPECT_EQ(*decoded, header);
  });
}

TEST(FrameHeader, qos_byte_holds_class_and_urgency) {
  EXPECT_EQ(qos_byte(QosClass::data), 0x70);
  EXPECT_EQ(qos_byte(QosClass::telemetry, 31), 0x9F);
  EXPECT_EQ(qos_class(0x70), QosClass::data);
  EXPECT_EQ(qos_urgency(0x9F), 31);
}

TEST(FrameHeader, costs_header_and_body_in_credit) {
  EXPECT_EQ(request().credit_bytes(), 25u);
  FrameHeader longest;
  longest.body_bytes = 0xFFFFFFFF;
  EXPECT_EQ(longest.credit_bytes(), 0x100000013u);
}

TEST(FrameCheck, fast_and_ordered_path_agree_on_every_single_byte_change) {
  for_each_known_type([](FrameType type) {
    const Bytes good = encoded(least(type));
    for (std::size_t at = 0; at < kHeaderBytes; ++at) {
      for (unsigned value = 0; value < 256; ++value) {
        Bytes bytes = good;
        bytes[at] = static_cast<std::byte>(value);
        const HeaderCheck check = first_failed_check(bytes, kBodyMax);
        const CloseCode want = check == HeaderCheck::none ? CloseCode::none : close_code(check);
        ASSERT_EQ(code_of(bytes), want) << to_string(type) << " byte " << at << " = " << value;
      }
    }
  });
}

TEST(FrameCheck, the_first_failure_in_the_stated_order_names_the_code) {
  // Everything is wrong; then one field after the other is repaired.
  FrameHeader header{.type = static_cast<FrameType>(0x20),
                     .flags = 0x01,
                     .qos = 0xFF,
                     .metadata_bytes = 0xFFFF,
                     .stream = 0,
                     .body_bytes = kBodyMax + 1,
                     .correlation = 0};
  Bytes bytes = encoded(header);
  bytes[0] = std::byte{'G'};
  bytes[2] = std::byte{3};
  EXPECT_EQ(first_failed_check(bytes, kBodyMax), HeaderCheck::magic);
  EXPECT_EQ(code_of(bytes), CloseCode::bad_frame);
  bytes[0] = std::byte{'V'};
  EXPECT_EQ(first_failed_check(bytes, kBodyMax), HeaderCheck::version);
  EXPECT_EQ(code_of(bytes), CloseCode::version);
  EXPECT_EQ(check_of(header), HeaderCheck::type);
  header.type = FrameType::request;
  EXPECT_EQ(check_of(header), HeaderCheck::flags);
  header.flags = 0;
  EXPECT_EQ(check_of(header), HeaderCheck::body_length);
  EXPECT_EQ(code_of(encoded(header)), CloseCode::too_large);
  header.body_bytes = 10;
  EXPECT_EQ(check_of(header), HeaderCheck::metadata_length);
  header.metadata_bytes = 10;
  EXPECT_EQ(check_of(header), HeaderCheck::qos);
  header.qos = 0x9F;
  EXPECT_EQ(check_of(header), HeaderCheck::stream_id);
  header.stream = 1;
  EXPECT_EQ(check_of(header), HeaderCheck::correlation_id);
  EXPECT_EQ(code_of(encoded(header)), CloseCode::bad_frame);
  header.correlation = 1;
  EXPECT_EQ(check_of(header), HeaderCheck::none);
}

TEST(FrameCheck, body_at_the_limit_passes_and_one_byte_over_is_too_large) {
  FrameHeader header = request();
  header.body_bytes = kBodyMax;
  EXPECT_EQ(code_of(encoded(header)), CloseCode::none);
  header.body_bytes = kBodyMax + 1;
  EXPECT_EQ(code_of(encoded(header)), CloseCode::too_large);
  header.body_bytes = std::numeric_limits<std::uint32_t>::max();
  EXPECT_EQ(code_of(encoded(header)), CloseCode::too_large);
}

TEST(FrameCheck, a_hello_over_its_own_limit_is_too_large) {
  FrameHeader header = least(FrameType::hello);
  header.body_bytes = kHelloBytes;
  EXPECT_EQ(code_of(encoded(header)), CloseCode::none);
  header.body_bytes = kHelloBytes + 1;
  EXPECT_EQ(code_of(encoded(header)), CloseCode::too_large);
}

TEST(FrameCheck, ignorable_types_have_only_magic_version_and_body_length_checked) {
  for (unsigned number = kIgnorableTypeFirst; number < 256; ++number) {
    FrameHeader header{.type = static_cast<FrameType>(number),
                       .flags = 0xFF,
                       .qos = 0xFF,
                       .metadata_bytes = 0xFFFF,
                       .stream = 9,
                       .body_bytes = kBodyMax,
                       .correlation = 9};
    EXPECT_EQ(code_of(encoded(header)), CloseCode::none);
    header.body_bytes = kBodyMax + 1;
    EXPECT_EQ(code_of(encoded(header)), CloseCode::too_large);
  }
}

TEST(FrameCheck, every_other_unknown_type_is_bad_frame) {
  for (unsigned number = 0; number < kIgnorableTypeFirst; ++number) {
    if (kFrameProperties[number].known) continue;
    EXPECT_EQ(check_of({.type = static_cast<FrameType>(number)}), HeaderCheck::type) << number;
  }
}

TEST(FrameCheck, retired_flags_are_illegal_in_every_type) {
  for_each_known_type([](FrameType type) {
    for (unsigned flag = 1; flag < 256; flag <<= 1u) {
      if (flag == kFlagMore && properties(type).more) continue;
      FrameHeader header = least(type);
      header.flags = static_cast<std::uint8_t>(flag);
      EXPECT_EQ(check_of(header), HeaderCheck::flags) << to_string(type) << " flag " << flag;
    }
  });
}

TEST(FrameCheck, more_needs_a_payload) {
  FrameHeader header = request();
  header.flags = kFlagMore;
  header.metadata_bytes = 4;
  EXPECT_EQ(check_of(header), HeaderCheck::none);
  header.metadata_bytes = 5;
  EXPECT_EQ(check_of(header), HeaderCheck::metadata_length);
  header.flags = 0;
  EXPECT_EQ(check_of(header), HeaderCheck::none) << "an empty payload is a legal message";
}

TEST(FrameCheck, metadata_fits_the_body_and_the_type) {
  FrameHeader header = request();
  header.metadata_bytes = 6;
  EXPECT_EQ(check_of(header), HeaderCheck::metadata_length);
  header = least(FrameType::credit);
  header.metadata_bytes = 1;
  EXPECT_EQ(check_of(header), HeaderCheck::metadata_length);
}

TEST(FrameCheck, fixed_payloads_have_their_length_whatever_the_metadata) {
  for_each_known_type([](FrameType type) {
    const FrameProperties& rules = properties(type);
    if (rules.payload_min != rules.payload_max) return;
    FrameHeader header = least(type);
    header.body_bytes = rules.payload_min + 1;
    EXPECT_EQ(check_of(header), HeaderCheck::metadata_length) << to_string(type);
    if (rules.metadata_max != 0) {
      header.metadata_bytes = 1;
      EXPECT_EQ(check_of(header), HeaderCheck::none) << to_string(type);
    }
    if (rules.payload_min == 0) return;
    header.metadata_bytes = 0;
    header.body_bytes = rules.payload_min - 1;
    EXPECT_EQ(check_of(header), HeaderCheck::metadata_length) << to_string(type);
  });
}

TEST(FrameCheck, control_frames_have_qos_zero_and_others_a_known_class) {
  for_each_known_type([](FrameType type) {
    FrameHeader header = least(type);
    header.qos = 1;
    const bool control = properties(type).control;
    EXPECT_EQ(check_of(header), control ? HeaderCheck::qos : HeaderCheck::none) << to_string(type);
    header.qos = 0x9F;
    EXPECT_EQ(check_of(header), control ? HeaderCheck::qos : HeaderCheck::none) << to_string(type);
    header.qos = 0xA0;
    EXPECT_EQ(check_of(header), HeaderCheck::qos) << to_string(type);
  });
}

TEST(FrameBody, each_body_decodes_to_what_was_encoded) {
  std::array<std::byte, GoawayBody::kBytes> goaway{};
  GoawayBody{CloseCode::draining, kDrainLastStream, 30'000}.encode(goaway);
  EXPECT_EQ(GoawayBody::decode(goaway).code, CloseCode::draining);
  EXPECT_EQ(GoawayBody::decode(goaway).last_stream, kDrainLastStream);
  EXPECT_EQ(GoawayBody::decode(goaway).drain_ms, 30'000u);

  std::array<std::byte, ResetBody::kBytes> reset{};
  ResetBody{CloseCode::slow_peer, 0x01020304}.encode(reset);
  EXPECT_EQ(ResetBody::decode(reset).code, CloseCode::slow_peer);
  EXPECT_EQ(ResetBody::decode(reset).last_correlation, 0x01020304u);

  std::array<std::byte, CreditBody::kBytes> credit{};
  CreditBody{0x0102030405060708u}.encode(credit);
  EXPECT_EQ(CreditBody::decode(credit).total_bytes, 0x0102030405060708u);
  EXPECT_EQ(credit[0], std::byte{1});

  std::array<std::byte, PingBody::kBytes> ping{};
  PingBody{42}.encode(ping);
  EXPECT_EQ(PingBody::decode(ping).value, 42u);

  std::array<std::byte, StreamLimitBody::kBytes> limit{};
  StreamLimitBody{511}.encode(limit);
  EXPECT_EQ(StreamLimitBody::decode(limit).highest_stream, 511u);

  std::array<std::byte, AuthOkBody::kBytes> auth{};
  AuthOkBody{3600}.encode(auth);
  EXPECT_EQ(AuthOkBody::decode(auth).seconds_left, 3600u);

  std::array<std::byte, PublishedBody::kBytes> published{};
  PublishedBody{2}.encode(published);
  EXPECT_EQ(PublishedBody::decode(published).level, 2);
}

TEST(StreamOpenBody, only_known_kinds_and_options_are_legal) {
  const auto legal = [](unsigned kind, unsigned options) {
    const std::array bytes{static_cast<std::byte>(kind), static_cast<std::byte>(options)};
    return StreamOpenBody::decode(bytes).legal();
  };
  EXPECT_FALSE(legal(0, 0));
  EXPECT_TRUE(legal(1, 3));
  EXPECT_FALSE(legal(1, 4));
  EXPECT_TRUE(legal(2, kStreamOptionWait));
  EXPECT_FALSE(legal(2, kStreamOptionPin)) << "a stream is always at one instance";
  EXPECT_TRUE(legal(3, 0));
  EXPECT_FALSE(legal(3, 1));
  EXPECT_TRUE(legal(4, 2));
  EXPECT_FALSE(legal(4, 3));
  EXPECT_TRUE(legal(4, kStreamOptionReset | kStreamOptionNoEcho));
  EXPECT_FALSE(legal(4, 3 | kStreamOptionNoEcho));
  EXPECT_FALSE(legal(4, 8));
  EXPECT_FALSE(legal(5, 0));
}

}  // namespace
}  // namespace valkyrie::protocol
