#include "tools/valkyrie/signing_key.h"

#include <gtest/gtest.h>

#include "server/policy/token.h"

namespace valkyrie::tools {
namespace {

using policy::TokenAlgorithm;

constexpr policy::WallTime kNow{std::chrono::seconds(1'800'000'000)};

boost::json::object claims() {
  return {{"iss", "https://id.example"},
          {"aud", "valkyrie"},
          {"sub", "ada"},
          {"exp", kNow.time_since_epoch().count() + 60}};
}

// What a node that has `keys` says to a token.
std::expected<policy::VerifiedToken, policy::TokenError> verify(const std::string& token,
                                                                const std::string& keys) {
  auto set = policy::KeySet::parse(keys, policy::SymmetricKeys::accepted);
  EXPECT_TRUE(set.has_value()) << set.error();
  return policy::verify_token(
      token, {.keys = std::move(*set), .issuer = "https://id.example", .audience = "valkyrie"},
      kNow);
}

std::string verifier_of(const SigningKey& key) {
  return key.public_text().empty() ? key.private_text() : key.public_text();
}

class EachAlgorithm : public ::testing::TestWithParam<TokenAlgorithm> {};

TEST_P(EachAlgorithm, signs_what_a_node_verifies) {
  const auto key = SigningKey::make(GetParam());
  const auto verified = verify(key->token(claims()), verifier_of(*key));
  ASSERT_TRUE(verified.has_value()) << to_string(verified.error());
  EXPECT_EQ(verified->identity.subject, "ada");
  const auto other = SigningKey::make(GetParam());
  EXPECT_FALSE(verify(key->token(claims()), verifier_of(*other)).has_value());
}

TEST_P(EachAlgorithm, read_from_its_file_is_the_same) {
  const auto key = SigningKey::make(GetParam());
  const auto again = SigningKey::parse(key->private_text());
  ASSERT_TRUE(again.has_value()) << again.error();
  EXPECT_EQ((*again)->private_text(), key->private_text());
  EXPECT_EQ((*again)->public_text(), key->public_text());
  EXPECT_TRUE(verify((*again)->token(claims()), verifier_of(*key)).has_value());
}

TEST_P(EachAlgorithm, its_public_half_has_nothing_private) {
  const auto key = SigningKey::make(GetParam());
  if (GetParam() == TokenAlgorithm::hs256) {
    EXPECT_EQ(key->public_text(), "");
    return;
  }
  EXPECT_EQ(key->public_text().find("\"d\""), std::string::npos);
  const auto read = SigningKey::parse(key->public_text());
  ASSERT_FALSE(read.has_value());
  EXPECT_NE(read.error().find("public key"), std::string::npos);
  // And a node takes no private one.
  EXPECT_FALSE(policy::KeySet::parse(key->private_text(), policy::SymmetricKeys::accepted));
}

INSTANTIATE_TEST_SUITE_P(SigningKey, EachAlgorithm,
                         ::testing::Values(TokenAlgorithm::eddsa, TokenAlgorithm::es256,
                                           TokenAlgorithm::hs256));

TEST(SigningKeyFile, that_is_none_is_refused_without_a_word_of_it) {
  for (const char* text :
       {"", "planted", "{}", R"({"keys":[]})", R"({"keys":[{"kty":"oct","k":"cGxhbnRlZA"}]})",
        R"({"keys":[{"kty":"RSA","d":"planted"}]})", R"({"keys":[{"kty":"oct","k":7}]})",
        R"({"keys":[{"kty":"OKP","crv":"Ed25519","d":"planted!"}]})"}) {
    const auto key = SigningKey::parse(text);
    ASSERT_FALSE(key.has_value()) << text;
    EXPECT_EQ(key.error().find("planted"), std::string::npos);
  }
}

TEST(SigningKeyFile, halves_of_two_keys_are_told_apart) {
  const std::string one = SigningKey::make(TokenAlgorithm::eddsa)->private_text();
  const std::string other = SigningKey::make(TokenAlgorithm::eddsa)->private_text();
  const auto d_of = [](const std::string& text) {
    const std::size_t at = text.find("\"d\":\"") + 5;
    return text.substr(at, text.find('"', at) - at);
  };
  std::string mixed = one;
  mixed.replace(mixed.find(d_of(one)), d_of(one).size(), d_of(other));
  const auto key = SigningKey::parse(mixed);
  ASSERT_FALSE(key.has_value());
  EXPECT_NE(key.error().find("do not belong together"), std::string::npos);
}

}  // namespace
}  // namespace valkyrie::tools
