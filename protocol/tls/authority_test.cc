#include "protocol/tls/authority.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>
#include <string>

#include "protocol/tls/acceptor.h"
#include "protocol/tls/certificate_facts.h"

namespace valkyrie::protocol::tls {
namespace {

constexpr std::int64_t kFrom = 1'700'000'000;
constexpr std::int64_t kUntil = 1'800'000'000;

CertificateRequest authority_request() {
  return {.common_name = "root",
          .names = "URI:spiffe://valkyrie.test",
          .not_before = kFrom,
          .not_after = kUntil,
          .authority = true};
}

Authority authority() { return std::move(*Authority::make(authority_request())); }

CertificateFacts facts_of(const std::string& pem) {
  const auto facts = certificate_facts(pem);
  return facts ? facts->front() : CertificateFacts();
}

TEST(TlsAuthority, says_what_it_is) {
  const CertificateFacts facts = facts_of(authority().own().certificate);
  EXPECT_TRUE(facts.authority);
  EXPECT_TRUE(facts.self_signed);
  EXPECT_EQ(facts.not_before, kFrom);
  EXPECT_EQ(facts.not_after, kUntil);
  EXPECT_EQ(facts.names, (std::vector<std::string>{"URI:spiffe://valkyrie.test"}));
}

TEST(TlsAuthority, opened_from_its_files_it_issues_what_is_asked_for) {
  const auto again = Authority::open(authority().own());
  ASSERT_TRUE(again.has_value()) << again.error();
  for (const KeyKind kind : {KeyKind::p256, KeyKind::ed25519, KeyKind::rsa2048}) {
    const auto made = again->issue(
        {.common_name = "node",
         .names = "DNS:localhost,IP:127.0.0.1,IP:::1,URI:spiffe://valkyrie.test/server/node",
         .usage = "serverAuth",
         .not_before = kFrom,
         .not_after = kUntil,
         .serial = random_serial(),
         .kind = kind});
    ASSERT_TRUE(made.has_value()) << made.error();
    const CertificateFacts facts = facts_of(made->certificate);
    EXPECT_EQ(facts.name, "spiffe://valkyrie.test/server/node");
    EXPECT_EQ(facts.names, (std::vector<std::string>{"DNS:localhost", "IP:127.0.0.1",
                                                     "IP:0000:0000:0000:0000:0000:0000:0000:0001",
                                                     "URI:spiffe://valkyrie.test/server/node"}));
    EXPECT_TRUE(facts.for_servers);
    EXPECT_FALSE(facts.for_clients);
    EXPECT_FALSE(facts.authority);
    EXPECT_FALSE(facts.self_signed);
    EXPECT_FALSE(facts.weak_key);
    const auto door = Acceptor::make({.own = *made, .clock = [] { return kFrom; }});
    EXPECT_TRUE(door.has_value()) << door.error();
  }
}

TEST(TlsAuthority, refuses_what_no_certificate_can_say) {
  const Authority root = authority();
  const auto refuses = [&](const CertificateRequest& request, const char* part) {
    const auto made = root.issue(request);
    return !made && made.error().find(part) != std::string::npos;
  };
  for (const char* names : {"DNS:", "a.example", "IP:300.1.1.1", "DNS:a,", "dirName:section",
                            "email:copy", "DNS:a\nb", "otherName:1.2.3;UTF8:x", "@section"}) {
    EXPECT_TRUE(refuses({.common_name = "a", .names = names}, "alternative names")) << names;
  }
  EXPECT_TRUE(refuses({.common_name = std::string(65, 'x')}, "common name"));
  EXPECT_FALSE(refuses({.common_name = std::string(64, 'x')}, "common name"));
  EXPECT_TRUE(refuses({.common_name = "a", .usage = "nonsense"}, "usage"));
}

TEST(TlsAuthority, key_of_another_certificate_is_told_apart) {
  const Authority one = authority();
  const Authority other = authority();
  const auto mixed =
      Authority::open({.certificate = one.own().certificate, .key = other.own().key});
  ASSERT_FALSE(mixed.has_value());
  EXPECT_EQ(mixed.error(), "the key does not belong to the certificate");
  EXPECT_FALSE(Authority::open({.certificate = "garbage", .key = one.own().key}).has_value());
  EXPECT_FALSE(Authority::open({.certificate = one.own().certificate, .key = ""}).has_value());
}

TEST(TlsAuthority, tells_what_it_has_issued_and_taken_back) {
  const Authority one = authority();
  const Authority other = authority();
  const auto made = one.issue({.common_name = "a", .not_after = kUntil, .serial = 77});
  ASSERT_TRUE(made.has_value());
  EXPECT_TRUE(one.has_issued(made->certificate));
  EXPECT_FALSE(other.has_issued(made->certificate));
  EXPECT_FALSE(one.has_issued("garbage"));
  EXPECT_EQ(facts_of(made->certificate).serial, 77);
  const auto lists = revocation_facts(one.revoke({77, 5}, kFrom, kUntil));
  ASSERT_TRUE(lists.has_value()) << lists.error();
  ASSERT_EQ(lists->size(), 1U);
  EXPECT_EQ(std::set(lists->front().serials.begin(), lists->front().serials.end()),
            (std::set<std::int64_t>{5, 77}));
  EXPECT_FALSE(lists->front().has_long_serials);
  EXPECT_EQ(lists->front().next_update, kUntil);
  EXPECT_TRUE(revocation_facts(one.revoke({}, kFrom, kUntil))->front().serials.empty());
  EXPECT_FALSE(revocation_facts("garbage").has_value());
}

TEST(TlsAuthority, serial_numbers_are_positive_and_differ) {
  std::set<std::int64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random_serial());
  EXPECT_EQ(seen.size(), 1000U);
  EXPECT_GT(*seen.begin(), 0);
}

}  // namespace
}  // namespace valkyrie::protocol::tls
