#include "server/policy/security_text.h"

#include <gtest/gtest.h>

#include "server/policy/token_vectors.h"

namespace valkyrie::policy {
namespace {

constexpr std::string_view kExample = R"(# Who may come in.
provider own unix subjects=uid:1000
provider idp token issuer=https://id.example.com audience=valkyrie keys=/etc/idp.json \
)";

std::string error_of(std::string_view text) {
  const auto draft = parse_security_text(text);
  EXPECT_FALSE(draft.has_value()) << text;
  return draft ? "" : draft.error();
}

TEST(SecurityText, providers_roles_and_bindings_are_read_in_their_order) {
  const auto draft = parse_security_text(R"(
provider own unix subjects=uid:1000   # The operator.
provider idp token issuer=https://id.example.com audience=valkyrie keys=/k skew=5s tenant=org
provider robots api_key keys=/a with=noise:key:*

role deployer
  allow call:deploy.* submit:build-*
  deny call:deploy.Secret/*
  qos data
  rate 100/s
  in_flight 8
  require_pq
role all
  allow *
bind unix subject uid:1000 all
bind token tenant acme* group devs deployer
bind any subject * deployer
)");
  ASSERT_TRUE(draft.has_value()) << draft.error();
  ASSERT_EQ(draft->providers.size(), 3U);
  EXPECT_EQ(draft->providers[0].subjects, "uid:1000");
  EXPECT_EQ(draft->providers[1].issuer, "https://id.example.com");
  EXPECT_EQ(draft->providers[1].skew, std::chrono::seconds(5));
  EXPECT_EQ(draft->providers[1].tenant_claim, "org");
  EXPECT_EQ(draft->providers[2].only_with->subjects, "key:*");
  ASSERT_EQ(draft->policy.roles.size(), 2U);
  EXPECT_EQ(draft->policy.roles[0].rules.size(), 3U);
  EXPECT_EQ(draft->policy.roles[0].limits, (RoleLimits{protocol::QosClass::data, 100, 8, true}));
  ASSERT_EQ(draft->policy.bindings.size(), 3U);
  EXPECT_EQ(draft->policy.bindings[1].text(), "token tenant acme* group devs");
  EXPECT_EQ(draft->policy.bindings[2].method, std::nullopt);
  EXPECT_TRUE(Policy::compile(draft->policy).has_value());
}

TEST(SecurityText, fault_is_named_by_its_line_with_what_to_write) {
  EXPECT_EQ(error_of("\n\nroles x"),
            "line 3: \"roles\": a line begins with provider, role, bind, or in a role with allow, "
            "deny, qos, rate, in_flight, require_pq");
  EXPECT_EQ(error_of("allow *"), "line 1: \"allow\" stands in no role");
  EXPECT_EQ(error_of("role"), "line 1: write role NAME");
  EXPECT_EQ(error_of("role a\nallow"), "line 2: write allow ACTION:PATTERN...");
  EXPECT_EQ(error_of("role a\nallow x:y"),
            "line 2: \"x:y\": write ACTION:PATTERN, such as call:hello.*, or *");
  EXPECT_EQ(error_of("role a\nqos urgent"), "line 2: write qos CLASS");
  EXPECT_EQ(error_of("role a\nrate 100"), "line 2: write rate 100/s");
  EXPECT_EQ(error_of("role a\nrate 0/s"), "line 2: write rate 100/s");
  EXPECT_EQ(error_of("role a\nrequire_pq yes"), "line 2: write require_pq alone");
  EXPECT_EQ(error_of("role a\nin_flight 1\nin_flight 2"),
            "line 3: the role has \"in_flight\" twice");
  EXPECT_EQ(error_of("bind token ci r"),
            "line 1: write bind METHOD [tenant PATTERN] subject|group PATTERN ROLE");
  EXPECT_EQ(error_of("bind jwt subject ci r"), "line 1: \"jwt\" is no method; or write any");
  EXPECT_EQ(error_of("bind token user ci r"), "line 1: write subject or group instead of \"user\"");
  EXPECT_EQ(error_of("role \x01"), "line 1: it has bytes that are not visible ASCII");
  EXPECT_EQ(error_of(std::string(kSecurityFileBytesMax + 1, '\n')), "the file is too long");
  EXPECT_FALSE(parse_security_text(kExample).has_value()) << "lines do not continue";
}

TEST(SecurityText, fault_repeats_no_word_that_may_be_a_secret) {
  const std::string secret = "planted-0123456789";
  for (const char* before : {"", "bind ", "bind any ", "provider a unix ",
                             "provider a unix x=", "role a\nallow ", "role a\nqos "}) {
    const std::string error = error_of(before + secret);
    EXPECT_EQ(error.find(secret), std::string::npos) << error;
  }
  EXPECT_TRUE(error_of(secret).starts_with("line 1: a word of 18 bytes: a line begins with"));
}

TEST(SecurityText, provider_takes_the_options_of_its_method_once_each) {
  EXPECT_EQ(error_of("provider a"),
            "line 1: write provider NAME none|unix|noise|certificate|token|api_key "
            "[OPTION=VALUE]...");
  EXPECT_EQ(error_of("provider a unix keys=/k"),
            "line 1: a provider of unix has no option \"keys\"");
  EXPECT_EQ(error_of("provider a api_key issuer=x"),
            "line 1: a provider of api_key has no option \"issuer\"");
  EXPECT_EQ(error_of("provider a api_key"), "line 1: keys=PATH is missing");
  EXPECT_EQ(error_of("provider a token keys=/k issuer=x"),
            "line 1: issuer=TEXT or audience=TEXT is missing");
  EXPECT_EQ(error_of("provider a api_key keys=/k keys=/l"), "line 1: \"keys\" is there twice");
  EXPECT_EQ(error_of("provider a api_key keys="), "line 1: \"keys=\": write OPTION=VALUE");
  EXPECT_EQ(error_of("provider a token skew=601s"), "line 1: write skew=60s; at most 600s");
  EXPECT_EQ(
      error_of("provider a token keys=/k issuer=x audience=y as=t tenant=org"),
      "line 1: as= says which tenant its peers are of, tenant= that tokens say it: write one");
  EXPECT_EQ(error_of("provider a token as=" + std::string(256, 't')),
            "line 1: as=TENANT has at most 255 bytes");
  EXPECT_EQ(error_of("provider a api_key as=t"),
            "line 1: a provider of api_key has no option \"as\"");
  EXPECT_EQ(error_of("provider a token secrets=yes"),
            "line 1: write secrets=accept, or leave it out");
  EXPECT_EQ(error_of("provider a unix\nprovider a noise"), "line 2: provider \"a\" is there twice");
}

TEST(SecurityText, provider_is_made_of_its_draft_and_the_text_of_its_keys) {
  const auto draft = parse_security_text(
      "provider idp token issuer=https://id.example.com audience=valkyrie keys=/k as=acme\n"
      "provider robots api_key keys=/a\nprovider own unix subjects=uid:1\n");
  ASSERT_TRUE(draft.has_value()) << draft.error();
  std::vector<Provider> providers;
  const std::string_view keys[] = {testing::kVectorKeys, "", ""};
  for (std::size_t i = 0; i < 3; ++i) {
    auto provider = make_provider(draft->providers[i], keys[i]);
    ASSERT_TRUE(provider.has_value()) << provider.error();
    providers.push_back(*std::move(provider));
  }
  const ProviderChain chain(std::move(providers));
  const WallTime now{std::chrono::seconds(1'800'000'000)};
  EXPECT_TRUE(chain.authenticate({.confidential = true, .credential = testing::kRs256Token}, now));
  EXPECT_EQ(make_provider(draft->providers[0], "{\"secret\":1}").error(),
            "provider \"idp\": key set: there is no array \"keys\"");
  EXPECT_EQ(make_provider(draft->providers[1], "planted").error(),
            "provider \"robots\": line 1: write PREFIX SHA256 subject=...");
}

}  // namespace
}  // namespace valkyrie::policy
