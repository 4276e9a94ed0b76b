#include "tools/valkyrie/security_check.h"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "protocol/tls/authority.h"
#include "tools/valkyrie/signing_key.h"
#include "transport/text_file.h"

namespace valkyrie::tools {
namespace {

namespace tls = protocol::tls;

constexpr policy::WallTime kNow{std::chrono::seconds(1'800'000'000)};
constexpr std::int64_t kDay = 24 * 60 * 60;

class SecurityCheck : public ::testing::Test {
 protected:
  SecurityCheck() {
    std::string name = "/tmp/valkyrie-check-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~SecurityCheck() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string file(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    ASSERT_TRUE(transport::write_text_file(file(name), text, transport::FileAccess::owner,
                                           transport::Existing::replaced));
    ASSERT_EQ(::chmod(file(name).c_str(), mode), 0);
  }
  // A node with a certificate of an authority, which it demands of clients too.
  NodeSetup tls_node(std::int64_t days_left, const std::string& usage = "serverAuth") {
    const std::int64_t now = kNow.time_since_epoch().count();
    const auto authority = tls::Authority::make({.common_name = "root",
                                                 .not_before = now - kDay,
                                                 .not_after = now + 1000 * kDay,
                                                 .authority = true});
    EXPECT_TRUE(authority.has_value());
    const auto node = authority->issue({.common_name = "node",
                                        .names = "DNS:localhost",
                                        .usage = usage,
                                        .not_before = now - 100 * kDay,
                                        .not_after = now + days_left * kDay,
                                        .serial = 2});
    EXPECT_TRUE(node.has_value());
    write("ca.crt", authority->own().certificate);
    write("node.crt", node->certificate);
    write("node.key", node->key);
    return {.listen = {"tls://0.0.0.0"},
            .set = {{"tls.certificate", file("node.crt")},
                    {"tls.key", file("node.key")},
                    {"tls.client_ca", file("ca.crt")},
                    {"tls.require_pq", "true"}}};
  }
  // What is told about `about`, joined; `level` first.
  static std::string told(const SecurityFindings& findings, const std::string& about) {
    std::string all;
    for (const SecurityFinding& each : findings) {
      if (each.about == about) all += fmt::format("{} {}\n", to_string(each.level), each.text);
    }
    return all;
  }
  static bool says(const std::string& text, std::string_view part) {
    EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in: " << text;
    return true;
  }

  std::string folder_;
};

TEST_F(SecurityCheck, tells_doors_apart_by_who_comes_through) {
  const auto of = [](const std::string& url, const NodeSetup& rest = {}) {
    NodeSetup node = rest;
    node.listen = {url};
    SecurityFindings findings;
    check_doors(node, findings);
    return findings.front().level;
  };
  EXPECT_EQ(of("valkyrie://0.0.0.0"), FindingLevel::bad);
  EXPECT_EQ(of("valkyrie://0.0.0.0", {.security = "policy"}), FindingLevel::bad);
  EXPECT_EQ(of("valkyrie://127.0.0.1"), FindingLevel::note);
  EXPECT_EQ(of("unix:///tmp/x"), FindingLevel::note);
  EXPECT_EQ(of("unix:///tmp/x", {.security = "policy"}), FindingLevel::good);
  EXPECT_EQ(of("noise://0.0.0.0"), FindingLevel::bad);
  EXPECT_EQ(of("noise://0.0.0.0", {.set = {{"noise.keys", "keys"}}}), FindingLevel::weak);
  EXPECT_EQ(of("tls://0.0.0.0", {.set = {{"tls.client_ca", "ca"}}}), FindingLevel::weak);
  EXPECT_EQ(of("tls://0.0.0.0", {.set = {{"tls.client_ca", "ca"}, {"tls.client", "optional"}}}),
            FindingLevel::bad);
  EXPECT_EQ(of("tls://0.0.0.0", {.security = "policy"}), FindingLevel::good);
  EXPECT_EQ(of("nonsense://"), FindingLevel::bad);
}

TEST_F(SecurityCheck, says_how_long_a_certificate_is_good) {
  const auto of_node = [&](std::int64_t days) {
    SecurityFindings findings;
    check_tls(tls_node(days), kNow, findings);
    return told(findings, file("node.crt"));
  };
  says(of_node(365), "ok good until");
  says(of_node(30), "ok good until");
  says(of_node(29), "weak it expires at");
  says(of_node(0), "BAD it has expired");
  says(of_node(-1), "BAD it has expired");
}

TEST_F(SecurityCheck, finds_files_of_tls_that_cannot_be_used) {
  const auto findings_of = [](const NodeSetup& node) {
    SecurityFindings findings;
    check_tls(node, kNow, findings);
    return findings;
  };
  NodeSetup node = tls_node(365);
  ASSERT_EQ(::chmod(file("node.key").c_str(), 0644), 0);
  says(told(findings_of(node), file("node.key")), "BAD other users may read");
  node = tls_node(365, "clientAuth");
  says(told(findings_of(node), file("node.crt")), "BAD it is not for servers");
  node = tls_node(365);
  write("node.key", "garbage");
  says(told(findings_of(node), "tls"), "BAD");
  node = tls_node(365);
  node.set["tls.crl"] = file("nothing");
  says(told(findings_of(node), file("nothing")), "BAD No such file");
  node = tls_node(365);
  node.set.erase("tls.require_pq");
  says(told(findings_of(node), "tls.require_pq"), "weak");
}

TEST_F(SecurityCheck, looks_at_the_keys_that_a_policy_names) {
  const auto pair = SigningKey::make(policy::TokenAlgorithm::eddsa);
  const auto shared = SigningKey::make(policy::TokenAlgorithm::hs256);
  write("public.json", pair->public_text(), 0644);
  write("private.json", pair->private_text());
  write("shared.json", shared->private_text());
  write("wide.json", shared->private_text(), 0644);
  write("loose.json", pair->public_text(), 0666);
  const auto told_of = [&](const std::string& keys, const std::string& options = "") {
    write("policy", fmt::format("provider idp token issuer=a audience=b keys={} {}\n"
                                "role all\n allow *\nbind any subject * all\n",
                                keys, options));
    SecurityFindings findings;
    check_policy({.security = file("policy")}, kNow, findings);
    says(told(findings, file("policy")), "weak bind any subject *: everybody");
    return told(findings, file(keys));
  };
  says(told_of("public.json"), "ok it verifies tokens and signs none");
  says(told_of("private.json"), "BAD provider \"idp\": key set: key 1: it is a private key");
  says(told_of("shared.json"), "BAD provider \"idp\"");
  says(told_of("shared.json", "secrets=accept"), "weak whoever may verify");
  says(told_of("wide.json", "secrets=accept"), "BAD it holds secrets and others may read it");
  says(told_of("loose.json"), "BAD other users may write it");
  says(told_of("nothing.json"), "BAD");
}

TEST_F(SecurityCheck, of_a_faulty_policy_names_the_line) {
  write("policy", "role a\n allow nonsense\n");
  SecurityFindings findings;
  check_policy({.security = file("policy")}, kNow, findings);
  says(told(findings, file("policy")), "BAD line 2");
}

TEST_F(SecurityCheck, finds_secrets_of_the_state_that_others_may_read) {
  write("noise.key", "secret", 0640);
  write("audit.key", "secret");
  SecurityFindings findings;
  check_state({.listen = {"tls://0.0.0.0"}, .state = folder_}, findings);
  says(told(findings, file("noise.key")), "BAD other users may read");
  says(told(findings, file("audit.key")), "ok ");
  says(told(findings, "audit"), "weak nothing is written down");
}

}  // namespace
}  // namespace valkyrie::tools
