#include "server/policy/token.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "protocol/crypto/digest.h"
#include "server/policy/base64url.h"
#include "server/policy/token_vectors.h"

namespace valkyrie::policy {
namespace {

namespace crypto = protocol::crypto;
using std::chrono::seconds;

constexpr WallTime kNow{seconds(1'800'000'000)};
constexpr std::string_view kClaims =
    R"("iss":"https://id.example.com","aud":"valkyrie","sub":"ci@example.com")";
constexpr std::string_view kEdHeader = R"({"alg":"EdDSA","kid":"ed","typ":"JWT"})";
constexpr std::string_view kHsHeader = R"({"alg":"HS256","kid":"hs"})";

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// The issuer of the tests: an Ed25519 key `ed` and a shared secret `hs`.
class Issuer {
 public:
  Issuer() {
    for (std::size_t i = 0; i < 32; ++i) seed_.bytes()[i] = static_cast<std::byte>(i);
    settings_.issuer = "https://id.example.com";
    settings_.audience = "valkyrie";
    take(SymmetricKeys::accepted,
         fmt::format(R"({{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"{}"}},)"
                     R"({{"kty":"oct","kid":"hs","k":"{}"}}]}})",
                     encode_base64url(crypto::ed25519_key(seed_)), encode_base64url(secret_)));
  }

  void take(SymmetricKeys symmetric, std::string_view keys) {
    auto set = KeySet::parse(keys, symmetric);
    EXPECT_TRUE(set.has_value()) << set.error();
    settings_.keys = set.value_or(KeySet());
  }

  std::string ed(std::string_view header, std::string_view claims) const {
    const std::string text =
        encode_base64url(bytes(header)) + '.' + encode_base64url(bytes(claims));
    return text + '.' + encode_base64url(crypto::sign_ed25519(seed_, bytes(text)));
  }

  // The token of an honest issuer, with `more` claims.
  std::string good(std::string_view more = R"("exp":1800000300)") const {
    return ed(kEdHeader, fmt::format("{{{},{}}}", kClaims, more));
  }

  std::string hs(std::string_view header, std::string_view claims,
                 std::span<const std::byte> secret) const {
    const std::string text =
        encode_base64url(bytes(header)) + '.' + encode_base64url(bytes(claims));
    return text + '.' + encode_base64url(crypto::hmac_sha256(secret, bytes(text)));
  }

  TokenSettings& settings() { return settings_; }
  std::span<const std::byte> secret() const { return secret_; }

  std::expected<VerifiedToken, TokenError> verify(std::string_view token,
                                                  WallTime now = kNow) const {
    return verify_token(token, settings_, now);
  }

  // Why a token is refused.
  std::string_view refusal(std::string_view token, WallTime now = kNow) const {
    const auto verified = verify(token, now);
    return verified ? "accepted" : to_string(verified.error());
  }

 private:
  crypto::Ed25519Seed seed_;
  std::vector<std::byte> secret_ = std::vector<std::byte>(32, std::byte{7});
  TokenSettings settings_;
};

std::string_view text(TokenError error) { return to_string(error); }

TEST(Token, good_one_proves_subject_groups_and_expiry) {
  const Issuer issuer;
  const auto verified = issuer.verify(issuer.good(R"("exp":1800000300,"groups":["devs","ops"])"));
  ASSERT_TRUE(verified.has_value()) << text(verified.error());
  EXPECT_EQ(verified->identity, (Identity{.method = AuthenticationMethod::token,
                                          .subject = "ci@example.com",
                                          .groups = {"devs", "ops"}}));
  EXPECT_EQ(verified->expires_at, kNow + seconds(300));
}

TEST(Token, tokens_of_another_program_verify_with_rs256_and_es256) {
  Issuer issuer;
  issuer.take(SymmetricKeys::refused, testing::kVectorKeys);
  for (const std::string_view token : {testing::kRs256Token, testing::kEs256Token}) {
    const auto verified = issuer.verify(token);
    ASSERT_TRUE(verified.has_value()) << text(verified.error());
    EXPECT_EQ(verified->identity.subject, "ci@example.com");
  }
}

TEST(Token, shared_secret_signs_too) {
  const Issuer issuer;
  const std::string claims = fmt::format("{{{},\"exp\":1800000300}}", kClaims);
  EXPECT_TRUE(issuer.verify(issuer.hs(kHsHeader, claims, issuer.secret())));
  const std::vector<std::byte> other(32, std::byte{8});
  EXPECT_EQ(issuer.refusal(issuer.hs(kHsHeader, claims, other)), text(TokenError::bad_signature));
}

TEST(Token, altering_any_byte_is_noticed) {
  const Issuer issuer;
  const std::string token = issuer.good();
  for (std::size_t at = 0; at < token.size(); ++at) {
    for (const char other : {'A', 'x', '.', '='}) {
      std::string altered = token;
      altered[at] = other;
      ASSERT_TRUE(altered == token || !issuer.verify(altered)) << at << ' ' << other;
    }
    ASSERT_FALSE(issuer.verify(token.substr(0, at)));
  }
  EXPECT_FALSE(issuer.verify(token + '.'));
  EXPECT_FALSE(issuer.verify(token + "AA"));
}

TEST(Token, none_is_refused_in_any_spelling_and_with_any_signature) {
  const Issuer issuer;
  const std::string claims = fmt::format("{{{},\"exp\":1800000300}}", kClaims);
  for (const std::string_view word : {"none", "None", "NONE", "nOnE"}) {
    const std::string header = fmt::format(R"({{"alg":"{}","kid":"ed"}})", word);
    EXPECT_EQ(issuer.refusal(issuer.ed(header, claims)), text(TokenError::unsigned_token));
    const std::string bare =
        encode_base64url(bytes(header)) + '.' + encode_base64url(bytes(claims));
    EXPECT_EQ(issuer.refusal(bare + '.'), text(TokenError::unsigned_token));
    EXPECT_EQ(issuer.refusal(bare), text(TokenError::malformed));
  }
  const std::string token = issuer.good();
  EXPECT_EQ(issuer.refusal(token.substr(0, token.rfind('.') + 1)),
            text(TokenError::unsigned_token));
}

TEST(Token, public_key_is_never_a_shared_secret) {
  Issuer issuer;
  issuer.take(SymmetricKeys::accepted, testing::kVectorKeys);
  const std::string claims = fmt::format("{{{},\"exp\":1800000300}}", kClaims);
  // The classic swap: the text of the public key as the secret of HS256, under the key's name.
  for (const std::string_view id : {"r", "e"}) {
    const std::string header = fmt::format(R"({{"alg":"HS256","kid":"{}"}})", id);
    EXPECT_EQ(issuer.refusal(issuer.hs(header, claims, bytes(testing::kVectorKeys))),
              text(TokenError::key_mismatch));
  }
  EXPECT_EQ(issuer.refusal(issuer.hs(R"({"alg":"HS256"})", claims, bytes(testing::kVectorKeys))),
            text(TokenError::unknown_key));
}

TEST(Token, swapped_algorithm_is_refused_for_every_pair) {
  const Issuer issuer;
  const std::string claims = fmt::format("{{{},\"exp\":1800000300}}", kClaims);
  for (const std::string_view alg : {"ES256", "RS256", "HS256"}) {
    const std::string header = fmt::format(R"({{"alg":"{}","kid":"ed"}})", alg);
    EXPECT_EQ(issuer.refusal(issuer.ed(header, claims)), text(TokenError::key_mismatch)) << alg;
  }
  for (const std::string_view alg : {"HS512", "ES384", "PS256", "eddsa", "", "dir"}) {
    const std::string header = fmt::format(R"({{"alg":"{}","kid":"ed"}})", alg);
    EXPECT_EQ(issuer.refusal(issuer.ed(header, claims)), text(TokenError::algorithm)) << alg;
  }
}

TEST(Token, key_that_a_token_brings_along_is_not_looked_at) {
  const Issuer issuer;
  const std::string claims = fmt::format("{{{},\"exp\":1800000300}}", kClaims);
  const std::string header =
      R"({"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"},"jku":"https://x.example","kid":"mine"})";
  EXPECT_EQ(issuer.refusal(issuer.hs(header, claims, std::vector<std::byte>(3))),
            text(TokenError::unknown_key));
}

TEST(Token, header_with_critical_extensions_or_of_another_type_is_refused) {
  const Issuer issuer;
  const std::string claims = fmt::format("{{{},\"exp\":1800000300}}", kClaims);
  const auto with = [&](std::string_view more) {
    return issuer.refusal(issuer.ed(fmt::format(R"({{"alg":"EdDSA",{}}})", more), claims));
  };
  EXPECT_EQ(with(R"("crit":["b64"],"b64":false)"), text(TokenError::critical_extension));
  EXPECT_EQ(with(R"("typ":"logout+jwt")"), text(TokenError::wrong_type));
  EXPECT_EQ(with(R"("typ":7)"), text(TokenError::wrong_type));
  EXPECT_EQ(with(R"("typ":"at+JWT")"), "accepted");
  EXPECT_EQ(with(R"("kid":"")"), text(TokenError::malformed));
  EXPECT_EQ(with(R"("kid":7)"), text(TokenError::malformed));
  EXPECT_EQ(with(R"("kid":"other")"), text(TokenError::unknown_key));
}

TEST(Token, claims_that_are_there_twice_are_refused) {
  const Issuer issuer;
  EXPECT_EQ(issuer.refusal(issuer.good(R"("exp":1800000300,"sub":"root")")),
            text(TokenError::duplicate_claim));
  EXPECT_EQ(issuer.refusal(issuer.good(R"("exp":1800000300,"exp":1900000000)")),
            text(TokenError::duplicate_claim));
  EXPECT_EQ(issuer.refusal(issuer.ed(R"({"alg":"EdDSA","alg":"EdDSA"})", "{}")),
            text(TokenError::duplicate_claim));
}

TEST(Token, issuer_and_audience_must_be_exactly_those_configured) {
  const Issuer issuer;
  const auto with = [&](std::string_view claims) {
    return issuer.refusal(
        issuer.ed(kEdHeader, fmt::format(R"({{"sub":"a","exp":1800000300,{}}})", claims)));
  };
  EXPECT_EQ(with(R"("iss":"https://id.example.com/","aud":"valkyrie")"), text(TokenError::issuer));
  EXPECT_EQ(with(R"("aud":"valkyrie")"), text(TokenError::issuer));
  EXPECT_EQ(with(R"("iss":["https://id.example.com"],"aud":"valkyrie")"), text(TokenError::issuer));
  const std::string right = R"("iss":"https://id.example.com","aud":)";
  EXPECT_EQ(with(right + R"("valkyrie")"), "accepted");
  EXPECT_EQ(with(right + R"(["a","valkyrie"])"), "accepted");
  EXPECT_EQ(with(right + R"(["a","Valkyrie"])"), text(TokenError::audience));
  EXPECT_EQ(with(right + "[]"), text(TokenError::audience));
  EXPECT_EQ(with(right + "7"), text(TokenError::audience));
  EXPECT_EQ(with(R"("iss":"https://id.example.com")"), text(TokenError::audience));
}

TEST(Token, times_hold_to_the_second_with_the_skew) {
  const Issuer issuer;
  const std::string token = issuer.good(R"("exp":1800000300,"nbf":1800000000,"iat":1800000000)");
  const WallTime end = kNow + seconds(300);
  EXPECT_EQ(issuer.refusal(token, end + seconds(59)), "accepted");
  EXPECT_EQ(issuer.refusal(token, end + seconds(60)), text(TokenError::expired));
  EXPECT_EQ(issuer.refusal(token, kNow - seconds(60)), "accepted");
  EXPECT_EQ(issuer.refusal(token, kNow - seconds(61)), text(TokenError::not_yet_valid));
  EXPECT_EQ(issuer.refusal(issuer.good(R"("nbf":1)")), text(TokenError::no_expiry));
}

TEST(Token, wrong_clock_refuses_and_says_what_may_be_wrong) {
  const Issuer issuer;
  const std::string token = issuer.good(R"("exp":1800000300,"iat":1800000000)");
  EXPECT_EQ(issuer.refusal(token, WallTime(seconds(0))),
            "the token is not valid yet; is a clock wrong?");
  EXPECT_EQ(issuer.refusal(token, WallTime(seconds(-1'000'000))), text(TokenError::not_yet_valid));
  EXPECT_EQ(issuer.refusal(token, WallTime(seconds(1LL << 40U))), text(TokenError::expired));
}

TEST(Token, times_that_are_no_times_are_refused) {
  const Issuer issuer;
  for (const std::string_view time :
       {"-1", "1e300", "9223372036854775807", "18446744073709551615", "253402300800",
        "\"1800000300\"", "null", "true", "[1800000300]"}) {
    EXPECT_EQ(issuer.refusal(issuer.good(fmt::format("\"exp\":{}", time))),
              text(TokenError::bad_claim))
        << time;
  }
  EXPECT_EQ(issuer.refusal(issuer.good("\"exp\":253402300799")), "accepted");
  EXPECT_EQ(issuer.refusal(issuer.good("\"exp\":1.8000003E9")), "accepted");
}

TEST(Token, huge_tokens_and_claims_are_refused_on_both_sides_of_the_limit) {
  Issuer issuer;
  EXPECT_EQ(issuer.refusal(std::string(kTokenBytesMax + 1, 'A')), text(TokenError::too_long));
  EXPECT_EQ(issuer.refusal(std::string(kTokenBytesMax, 'A')), text(TokenError::malformed));
  const auto groups = [&](std::size_t count, std::size_t size) {
    std::string list;
    for (std::size_t i = 0; i < count; ++i) {
      list += (i == 0 ? "\"" : ",\"") + std::string(size, 'g') + '"';
    }
    return issuer.refusal(issuer.good(fmt::format(R"("exp":1800000300,"groups":[{}])", list)));
  };
  EXPECT_EQ(groups(kGroupsMax, 1), "accepted");
  EXPECT_EQ(groups(kGroupsMax + 1, 1), text(TokenError::bad_claim));
  EXPECT_EQ(groups(1, kGroupBytesMax), "accepted");
  EXPECT_EQ(groups(1, kGroupBytesMax + 1), text(TokenError::bad_claim));
  EXPECT_EQ(groups(1500, 0), text(TokenError::malformed));
}

TEST(Token, subject_and_tenant_must_fit_into_what_services_are_told) {
  Issuer issuer;
  issuer.settings().tenant_claim = "org";
  const auto with = [&](std::string_view tenant, std::string_view subject) {
    return issuer.refusal(
        issuer.ed(kEdHeader, fmt::format(R"({{"iss":"https://id.example.com","aud":"valkyrie",)"
                                         R"("exp":1800000300,"sub":"{}","org":"{}"}})",
                                         subject, tenant)));
  };
  EXPECT_EQ(with("acme", "ada"), "accepted");
  EXPECT_EQ(with(std::string(255, 't'), std::string(255, 's')), "accepted");
  EXPECT_EQ(with(std::string(255, 't'), std::string(256, 's')), text(TokenError::bad_claim));
  EXPECT_EQ(with(std::string(256, 't'), "s"), text(TokenError::bad_claim));
  EXPECT_EQ(with("", "ada"), text(TokenError::bad_claim));
  EXPECT_EQ(with("acme", ""), text(TokenError::bad_claim));
  EXPECT_EQ(with("acme", "a\\nb"), text(TokenError::bad_claim));
  EXPECT_EQ(with("acme", "\\u00e4"), text(TokenError::bad_claim));
  EXPECT_EQ(issuer.refusal(issuer.good()), text(TokenError::bad_claim)) << "no tenant";
}

TEST(Token, tenant_that_the_provider_has_is_the_tokens_whatever_it_claims) {
  Issuer issuer;
  issuer.settings().tenant = "partner";
  const auto token = issuer.ed(kEdHeader, R"({"iss":"https://id.example.com","aud":"valkyrie",)"
                                          R"("exp":1800000300,"sub":"ada","tenant":"acme"})");
  const auto verified = verify_token(token, issuer.settings(), kNow);
  ASSERT_TRUE(verified.has_value());
  EXPECT_EQ(verified->identity.tenant, "partner");
  issuer.settings().tenant = std::string(kTenantBytesMax + 1, 't');
  EXPECT_EQ(issuer.refusal(token), text(TokenError::bad_claim));
}

}  // namespace
}  // namespace valkyrie::policy
