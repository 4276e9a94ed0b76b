#include "server/policy/key_set.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "server/policy/base64url.h"
#include "server/policy/token_vectors.h"

namespace valkyrie::policy {
namespace {

using testing::kVectorKeys;

std::string zeros(std::size_t size) { return encode_base64url(std::vector<std::byte>(size)); }

std::string ones(std::size_t size) {
  return encode_base64url(std::vector<std::byte>(size, std::byte{0xFF}));
}

std::string set_of(std::string_view keys) { return fmt::format("{{\"keys\":[{}]}}", keys); }

std::string ed25519(std::string_view more = "") {
  return fmt::format(R"({{"kty":"OKP","crv":"Ed25519","x":"{}"{}}})", zeros(32), more);
}

std::string error_of(std::string_view keys, SymmetricKeys symmetric = SymmetricKeys::refused) {
  const auto set = KeySet::parse(set_of(keys), symmetric);
  EXPECT_FALSE(set.has_value()) << keys;
  return set ? "" : set.error();
}

TEST(KeySet, type_of_a_key_fixes_its_algorithm) {
  const auto set = KeySet::parse(kVectorKeys, SymmetricKeys::refused);
  ASSERT_TRUE(set.has_value()) << set.error();
  EXPECT_EQ(set->size(), 2U);
  EXPECT_NE(set->find("r", TokenAlgorithm::rs256), nullptr);
  EXPECT_NE(set->find("e", TokenAlgorithm::es256), nullptr);
  for (const TokenAlgorithm other :
       {TokenAlgorithm::hs256, TokenAlgorithm::eddsa, TokenAlgorithm::es256}) {
    EXPECT_EQ(set->find("r", other), nullptr);
  }
}

TEST(KeySet, token_without_key_id_takes_the_only_key_of_its_algorithm) {
  const std::string second = ed25519(R"(,"kid":"b")");
  const auto one = KeySet::parse(set_of(ed25519()), SymmetricKeys::refused);
  const auto two = KeySet::parse(set_of(ed25519() + ',' + second), SymmetricKeys::refused);
  ASSERT_TRUE(one && two);
  EXPECT_NE(one->find(std::nullopt, TokenAlgorithm::eddsa), nullptr);
  EXPECT_EQ(two->find(std::nullopt, TokenAlgorithm::eddsa), nullptr);
  EXPECT_NE(two->find("b", TokenAlgorithm::eddsa), nullptr);
  EXPECT_EQ(two->find("c", TokenAlgorithm::eddsa), nullptr);
}

TEST(KeySet, shared_secrets_are_taken_only_from_the_operator) {
  const std::string key = fmt::format(R"({{"kty":"oct","kid":"h","k":"{}"}})", zeros(32));
  EXPECT_EQ(error_of(key),
            "key set: key 1: it is a shared secret, which this provider does not take");
  EXPECT_TRUE(KeySet::parse(set_of(key), SymmetricKeys::accepted).has_value());
  for (const std::size_t size : {kHmacKeyBytesMin - 1, kHmacKeyBytesMax + 1}) {
    const std::string wrong = fmt::format(R"({{"kty":"oct","k":"{}"}})", zeros(size));
    EXPECT_EQ(error_of(wrong, SymmetricKeys::accepted),
              "key set: key 1: \"k\" is not 32 to 1024 bytes");
  }
}

TEST(KeySet, keys_for_something_else_are_left_out) {
  for (const std::string_view other :
       {R"({"kty":"EC","crv":"P-384","x":"","y":""})", R"({"kty":"OKP","crv":"X25519","x":""})",
        R"({"kty":"RSA","use":"enc","n":"","e":""})", R"({"kty":"RSA","alg":"RS512"})",
        R"({"kty":"RSA","key_ops":["encrypt"]})", R"({"kty":"AKP"})", "{}"}) {
    const auto set =
        KeySet::parse(set_of(fmt::format("{},{}", other, ed25519())), SymmetricKeys::refused);
    ASSERT_TRUE(set.has_value()) << other << ": " << set.error();
    EXPECT_EQ(set->size(), 1U) << other;
    EXPECT_EQ(error_of(other), "key set: no key in it verifies tokens");
  }
}

TEST(KeySet, malformed_key_is_named_by_its_place) {
  EXPECT_EQ(error_of(ed25519() + R"(,{"kty":"OKP","crv":"Ed25519","x":"AA"})"),
            "key set: key 2: \"x\" is not 32 bytes");
  EXPECT_EQ(error_of(R"({"kty":"OKP","crv":"Ed25519","x":7})"),
            "key set: key 1: \"x\" is not base64url");
  EXPECT_EQ(error_of(ed25519(R"(,"d":"AA")")), "key set: key 1: it is a private key");
  EXPECT_EQ(error_of(ed25519(R"(,"kid":"a")") + ',' + ed25519(R"(,"kid":"a")")),
            "key set: key 2: its \"kid\" is there twice");
  EXPECT_EQ(error_of(ed25519(R"(,"kid":7)")), "key set: key 1: \"kid\" is not 1 to 256 bytes");
  EXPECT_EQ(error_of("7"), "key set: key 1: it is no object");
  EXPECT_EQ(error_of(ed25519(R"(,"x":"AA")")), "key set: a name is there twice");
}

TEST(KeySet, rsa_keys_are_bounded) {
  const auto rsa = [](const std::string& modulus) {
    return fmt::format(R"({{"kty":"RSA","n":"{}","e":"AQAB"}})", modulus);
  };
  using protocol::crypto::kRsaBitsMax;
  using protocol::crypto::kRsaBitsMin;
  EXPECT_TRUE(KeySet::parse(set_of(rsa(ones(kRsaBitsMin / 8))), SymmetricKeys::refused));
  EXPECT_TRUE(KeySet::parse(set_of(rsa(ones(kRsaBitsMax / 8))), SymmetricKeys::refused));
  EXPECT_NE(error_of(rsa(ones(kRsaBitsMin / 8 - 1))).find("bits"), std::string::npos);
  EXPECT_NE(error_of(rsa(ones(kRsaBitsMax / 8 + 1))).find("bits"), std::string::npos);
  EXPECT_NE(error_of(rsa(zeros(kRsaBitsMin / 8))).find("leading zero"), std::string::npos);
}

TEST(KeySet, sizes_are_bounded_on_both_sides) {
  std::string keys = ed25519();
  for (std::size_t i = 1; i < kKeysMax; ++i) keys += ',' + ed25519();
  EXPECT_TRUE(KeySet::parse(set_of(keys), SymmetricKeys::refused).has_value());
  EXPECT_EQ(error_of(keys + ',' + ed25519()), "key set: it has over 64 keys");
  EXPECT_EQ(error_of(std::string(kKeySetBytesMax, ' ')), "key set: it is too long");
  EXPECT_FALSE(KeySet::parse("{}", SymmetricKeys::refused).has_value());
  EXPECT_FALSE(KeySet::parse("", SymmetricKeys::refused).has_value());
}

TEST(TokenAlgorithm, is_spelled_exactly) {
  EXPECT_EQ(parse_algorithm("ES256"), TokenAlgorithm::es256);
  for (const std::string_view word : {"none", "es256", "ES384", "HS512", "", "EdDSA "}) {
    EXPECT_FALSE(parse_algorithm(word).has_value()) << word;
  }
}

}  // namespace
}  // namespace valkyrie::policy
