#include "server/policy/provider.h"

#include <array>
#include <gtest/gtest.h>

#include "server/policy/token_vectors.h"

namespace valkyrie::policy {
namespace {

using std::chrono::seconds;

constexpr WallTime kNow{seconds(1'800'000'000)};
constexpr WallTime kTokenEnd{seconds(4'102'444'800)};

Provider tokens(std::string name, std::string issuer = "https://id.example.com",
                std::string audience = "valkyrie") {
  auto keys = KeySet::parse(testing::kVectorKeys, SymmetricKeys::refused);
  EXPECT_TRUE(keys.has_value());
  return {.name = std::move(name),
          .kind = TokenProvider{{.keys = keys.value_or(KeySet()),
                                 .issuer = std::move(issuer),
                                 .audience = std::move(audience)}}};
}

NewApiKey api_key(std::uint8_t seed) {
  std::array<std::byte, kApiKeyRandomBytes> random{};
  random.fill(static_cast<std::byte>(seed));
  return make_api_key(random, {.subject = "ci"}, kTokenEnd);
}

Provider key_file(std::string name, const NewApiKey& key) {
  ApiKeyProvider provider;
  EXPECT_TRUE(provider.keys.add(key.record).has_value());
  return {.name = std::move(name), .kind = std::move(provider)};
}

Provider channel(std::string name, AuthenticationMethod method, std::string subjects = "*") {
  return {.name = std::move(name), .kind = ChannelProvider{method, std::move(subjects)}};
}

Shown showing(std::string_view credential) {
  return {.confidential = true, .credential = credential};
}

Shown user(std::string subject) {
  return {.channel = {.method = AuthenticationMethod::unix_user, .subject = std::move(subject)},
          .confidential = true};
}

std::string refusal(const ProviderChain& chain, const Shown& shown, WallTime now = kNow) {
  const auto result = chain.authenticate(shown, now);
  return result ? "accepted" : result.error().text();
}

TEST(ProviderChain, without_providers_the_channel_is_believed) {
  const auto result = ProviderChain().authenticate(user("uid:7"), kNow);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->identity.subject, "uid:7");
  EXPECT_EQ(result->provider, "");
}

TEST(ProviderChain, token_goes_to_the_provider_of_its_issuer) {
  const ProviderChain chain({tokens("other", "https://other.example"), tokens("idp")});
  const auto result = chain.authenticate(showing(testing::kEs256Token), kNow);
  ASSERT_TRUE(result.has_value()) << result.error().text();
  EXPECT_EQ(result->provider, "idp");
  EXPECT_EQ(result->identity.subject, "ci@example.com");
  EXPECT_EQ(result->valid_until, kTokenEnd + seconds(60));
}

TEST(ProviderChain, refusal_names_the_provider_and_why_but_nothing_of_the_secret) {
  const ProviderChain chain({tokens("idp"), tokens("late", "https://late.example")});
  EXPECT_EQ(refusal(chain, showing(testing::kEs256Token), kTokenEnd + seconds(60)),
            "provider \"idp\": the token has expired");
  std::string forged(testing::kRs256Token);
  forged[forged.size() - 20] = forged[forged.size() - 20] == 'A' ? 'B' : 'A';
  const std::string text = refusal(chain, showing(forged));
  EXPECT_EQ(text, "provider \"idp\": the token's signature does not verify");
  const std::string secret = "planted-secret-7d1f";
  for (const std::string& shown : {secret, "vk_" + secret, "a.b." + secret}) {
    EXPECT_EQ(refusal(chain, showing(shown)).find("planted"), std::string::npos);
  }
}

TEST(ProviderChain, first_provider_of_an_issuer_decides) {
  const ProviderChain chain(
      {tokens("strict", "https://id.example.com", "elsewhere"), tokens("idp")});
  EXPECT_EQ(refusal(chain, showing(testing::kEs256Token)),
            "provider \"strict\": the token is for another audience");
}

TEST(ProviderChain, token_of_no_issuer_names_the_last_one_asked) {
  const ProviderChain chain({tokens("a", "https://a.example"), tokens("b", "https://b.example")});
  EXPECT_EQ(refusal(chain, showing(testing::kEs256Token)),
            "provider \"b\": the token is of another issuer");
  EXPECT_EQ(refusal(ProviderChain({channel("unix", AuthenticationMethod::unix_user)}),
                    showing(testing::kEs256Token)),
            "no provider takes tokens");
}

TEST(ProviderChain, api_key_is_looked_for_in_every_file) {
  const NewApiKey mine = api_key(1);
  const ProviderChain chain({key_file("a", api_key(2)), key_file("b", mine)});
  const auto result = chain.authenticate(showing(mine.text), kNow);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->provider, "b");
  EXPECT_EQ(result->valid_until, kTokenEnd);
  EXPECT_EQ(refusal(chain, showing(api_key(3).text)), "provider \"b\": the API key is not known");
  EXPECT_EQ(refusal(chain, showing(mine.text), kTokenEnd),
            "provider \"b\": the API key has expired");
  EXPECT_EQ(refusal(ProviderChain({tokens("idp")}), showing(mine.text)),
            "no provider takes API keys");
}

TEST(ProviderChain, credentials_on_an_open_channel_are_refused_unread) {
  const ProviderChain chain({tokens("idp"), channel("any", AuthenticationMethod::none)});
  Shown shown = showing(testing::kEs256Token);
  shown.confidential = false;
  EXPECT_EQ(refusal(chain, shown),
            "a credential was shown on a channel that is neither encrypted nor local");
}

TEST(ProviderChain, channel_needs_a_provider_that_lists_it) {
  const ProviderChain chain({channel("own", AuthenticationMethod::unix_user, "uid:1000"),
                             channel("team", AuthenticationMethod::unix_user, "uid:2*")});
  EXPECT_EQ(refusal(chain, user("uid:1000")), "accepted");
  EXPECT_EQ(refusal(chain, user("uid:2001")), "accepted");
  EXPECT_EQ(refusal(chain, user("uid:3")), "provider \"team\": unix uid:3 is not on its list");
  EXPECT_EQ(refusal(chain, {}), "the peer showed no credential");
  const Shown noise{.channel = {.method = AuthenticationMethod::noise_key, .subject = "key:1"}};
  EXPECT_EQ(refusal(chain, noise), "no provider takes noise key:1");
  EXPECT_EQ(refusal(ProviderChain({channel("open", AuthenticationMethod::none)}), {}), "accepted");
}

TEST(ProviderChain, credential_alone_says_who_a_peer_is_even_beside_a_channel) {
  const ProviderChain chain({channel("own", AuthenticationMethod::unix_user), tokens("idp")});
  Shown shown = user("uid:0");
  shown.credential = testing::kEs256Token;
  const auto result = chain.authenticate(shown, kNow);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->identity.subject, "ci@example.com");
  shown.credential = "rubbish";
  EXPECT_EQ(refusal(chain, shown), "provider \"idp\": the token is malformed");
}

TEST(ProviderChain, credential_can_be_tied_to_a_channel) {
  Provider idp = tokens("idp");
  idp.only_with = ChannelProvider{AuthenticationMethod::certificate, "spiffe://prod/*"};
  const ProviderChain chain({idp});
  Shown shown = showing(testing::kEs256Token);
  EXPECT_EQ(refusal(chain, shown),
            "provider \"idp\": the credential does not belong to this channel");
  shown.channel = {.method = AuthenticationMethod::certificate, .subject = "spiffe://prod/ci"};
  EXPECT_EQ(refusal(chain, shown), "accepted");
  shown.channel.subject = "spiffe://test/ci";
  EXPECT_NE(refusal(chain, shown), "accepted");
}

TEST(Renewal, never_changes_who_a_session_speaks_for) {
  const Identity before{.method = AuthenticationMethod::token, .subject = "a", .groups = {"x"}};
  Identity after = before;
  after.groups = {"y"};
  EXPECT_TRUE(may_renew(before, after));
  after.subject = "b";
  EXPECT_FALSE(may_renew(before, after));
  after = before;
  after.tenant = "acme";
  EXPECT_FALSE(may_renew(before, after));
  after = before;
  after.method = AuthenticationMethod::api_key;
  EXPECT_FALSE(may_renew(before, after));
}

}  // namespace
}  // namespace valkyrie::policy
