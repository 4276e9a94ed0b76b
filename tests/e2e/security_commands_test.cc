// `valkyrie security` with real files and a real node.
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

class SecurityCommands : public ::testing::Test {
 protected:
  [[nodiscard]] std::string file(const std::string& name) const {
    return scratch_.path() + "/" + name;
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name)) << text;
  }
  [[nodiscard]] std::string content(const std::string& name) const {
    std::ifstream stream(file(name));
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  [[nodiscard]] unsigned mode_of(const std::string& name) const {
    struct stat status{};
    EXPECT_EQ(::stat(file(name).c_str(), &status), 0) << name;
    return status.st_mode & 0777U;
  }
  [[nodiscard]] std::size_t files() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch_.path())) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }
  static Ran security(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "security");
    return cli(arguments);
  }

  ScratchDirectory scratch_;
};

TEST_F(SecurityCommands, secrets_are_written_for_their_owner_alone) {
  ASSERT_EQ(security({"init-ca", file("pki")}).exit, 0);
  ASSERT_EQ(security({"issue", file("pki"), "server:node", "client:ada"}).exit, 0);
  ASSERT_EQ(security({"keygen", "noise", file("noise.key")}).exit, 0);
  ASSERT_EQ(security({"keygen", "psk", file("psk")}).exit, 0);
  ASSERT_EQ(security({"keygen", "audit", file("audit.key")}).exit, 0);
  ASSERT_EQ(security({"keygen", "token", file("token.jwk")}).exit, 0);
  ASSERT_EQ(security({"token", "new", "--key", file("token.jwk"), "--issuer", "a", "--audience",
                      "b", "--subject", "c", "--out", file("c.token")})
                .exit,
            0);
  ASSERT_EQ(
      security({"apikey", "new", file("keys"), "--subject", "a", "--out", file("a.key")}).exit, 0);
  for (const char* secret : {"pki/ca.key", "pki/node.key", "pki/ada.key", "noise.key", "psk",
                             "audit.key", "token.jwk", "c.token", "a.key"}) {
    EXPECT_EQ(mode_of(secret), 0600U) << secret;
  }
  EXPECT_EQ(mode_of("pki"), 0700U);
  EXPECT_EQ(mode_of("pki/node.crt"), 0644U);
}

TEST_F(SecurityCommands, keys_that_are_there_are_never_replaced_unasked) {
  ASSERT_EQ(security({"init-ca", file("pki")}).exit, 0);
  ASSERT_EQ(security({"issue", file("pki"), "client:ada"}).exit, 0);
  ASSERT_EQ(security({"keygen", "noise", file("noise.key")}).exit, 0);
  const std::string authority = content("pki/ca.key");
  const std::string ada = content("pki/ada.key");
  const std::string noise = content("noise.key");
  EXPECT_EQ(security({"init-ca", file("pki")}).exit, 2);
  EXPECT_EQ(security({"issue", file("pki"), "client:ada"}).exit, 2);
  EXPECT_EQ(security({"keygen", "noise", file("noise.key")}).exit, 2);
  EXPECT_EQ(content("pki/ca.key"), authority);
  EXPECT_EQ(content("pki/ada.key"), ada);
  EXPECT_EQ(content("noise.key"), noise);
  EXPECT_EQ(security({"issue", file("pki"), "client:ada", "--renew"}).exit, 0);
  EXPECT_NE(content("pki/ada.key"), ada);
}

TEST_F(SecurityCommands, nothing_is_written_if_a_part_of_what_is_asked_for_is_wrong) {
  ASSERT_EQ(security({"init-ca", file("pki")}).exit, 0);
  const std::size_t before = files();
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"client:ada", "boss:eve"},
        std::vector<std::string>{"client:ada", "client:ada"},
        std::vector<std::string>{"client:ada", "server:ca"},
        std::vector<std::string>{"client:ada", "server:node=a b"}}) {
    std::vector<std::string> arguments{"issue", file("pki")};
    arguments.insert(arguments.end(), wrong.begin(), wrong.end());
    const Ran ran = security(arguments);
    EXPECT_EQ(ran.exit, 2);
    EXPECT_TRUE(ran.err.starts_with("error: ")) << ran.err;
  }
  EXPECT_EQ(security({"issue", file("nowhere"), "client:ada"}).exit, 2);
  EXPECT_EQ(files(), before);
}

TEST_F(SecurityCommands, an_authority_that_others_may_read_signs_nothing) {
  ASSERT_EQ(security({"init-ca", file("pki")}).exit, 0);
  ASSERT_EQ(::chmod(file("pki/ca.key").c_str(), 0644), 0);
  const Ran ran = security({"issue", file("pki"), "client:ada"});
  EXPECT_EQ(ran.exit, 2);
  EXPECT_TRUE(says(ran.err, "other users may read this secret; chmod 600 it"));
}

TEST_F(SecurityCommands, a_certificate_that_was_taken_back_opens_nothing) {
  ASSERT_EQ(security({"init-ca", file("pki")}).exit, 0);
  ASSERT_EQ(
      security({"issue", file("pki"), "server:node=localhost", "client:ada", "client:bob"}).exit,
      0);
  ASSERT_EQ(security({"revoke", file("pki"), file("pki/ada.crt")}).exit, 0);
  ASSERT_TRUE(says(security({"revoke", file("pki")}).out, "takes 1 certificates back"));
  RunningNode node(
      {"--listen", "tls://127.0.0.1:0", "--set", "tls.certificate=" + file("pki/node.crt"), "--set",
       "tls.key=" + file("pki/node.key"), "--set", "tls.client_ca=" + file("pki/ca.crt"), "--set",
       "tls.crl=" + file("pki/ca.crl")});
  const std::size_t at = node.doors.find("tls://127.0.0.1:") + 16;
  const std::string url = "tls://localhost:" + node.doors.substr(at, node.doors.find('"', at) - at);
  const auto ping = [&](const std::string& name) {
    return cli({"--node", url, "ping", "--count", "1", "--timeout", "1s"},
               {.environment = {{"VALKYRIE_TLS_CA", file("pki/ca.crt")},
                                {"VALKYRIE_TLS_CERTIFICATE", file("pki/" + name + ".crt")},
                                {"VALKYRIE_TLS_KEY", file("pki/" + name + ".key")}}});
  };
  EXPECT_EQ(ping("bob").exit, 0);
  const Ran refused = ping("ada");
  EXPECT_NE(refused.exit, 0);
  EXPECT_TRUE(says(refused.err, "revoked"));
  ASSERT_EQ(security({"init-ca", file("other")}).exit, 0);
  EXPECT_EQ(security({"revoke", file("other"), file("pki/bob.crt")}).exit, 2);
}

TEST_F(SecurityCommands, api_keys_are_shown_once_and_taken_back) {
  const Ran made = security({"apikey", "new", file("keys"), "--subject", "ci", "--group", "devs"});
  ASSERT_EQ(made.exit, 0) << made.err;
  ASSERT_TRUE(made.out.starts_with("vk_")) << made.out;
  const std::string prefix = made.out.substr(3, 8);
  const std::string secret = made.out.substr(12, 43);
  EXPECT_EQ(content("keys").find(secret), std::string::npos);
  Ran listed = security({"apikey", "ls", file("keys")});
  EXPECT_TRUE(says(listed.out, prefix));
  EXPECT_TRUE(says(listed.out, "good"));
  EXPECT_EQ(listed.out.find(secret), std::string::npos);
  EXPECT_EQ(security({"apikey", "revoke", file("keys"), "aaaaaaaa"}).exit, 1);
  EXPECT_EQ(security({"apikey", "revoke", file("keys"), prefix}).exit, 0);
  listed = security({"apikey", "ls", file("keys"), "-o", "json"});
  EXPECT_TRUE(says(listed.out, "\"state\":\"revoked\""));
}

TEST_F(SecurityCommands, whoami_needs_no_permission_and_names_the_roles) {
  write("policy", fmt::format("provider own unix subjects=uid:{0}\n"
                              "provider other none\n"
                              "role cook\n  allow call:kitchen.*\n"
                              "role waiter\n  allow call:room.*\n"
                              "bind unix subject uid:{0} cook\nbind unix subject uid:* waiter\n",
                              ::getuid()));
  const RunningNode node({"--security", file("policy")});
  const Ran ran = cli(node, {"security", "whoami"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_TRUE(says(ran.out, fmt::format("who      unix:uid:{}\n", ::getuid())));
  EXPECT_TRUE(says(ran.out, "roles    cook waiter\n"));
  const Ran nobody = cli({"--node", node.tcp_url, "-o", "json", "security", "whoami"});
  EXPECT_TRUE(says(nobody.out, "\"who\":\"none\""));
  EXPECT_TRUE(says(nobody.out, "\"open\":false,\"roles\":[]"));
  EXPECT_NE(cli(node, {"ping", "--count", "1"}).exit, 0) << "that asks for a permission";
}

TEST_F(SecurityCommands, check_of_a_running_node_tells_its_doors_and_what_it_has_refused) {
  const RunningNode open;
  const Ran ran = cli(open, {"security", "check"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_TRUE(says(ran.out, "note " + open.tcp_url + ": local, and without a policy"));
  EXPECT_TRUE(says(ran.out, "ok   pq_refused: 0 peers"));
  const RunningNode wide({"--insecure", "--listen", "valkyrie://0.0.0.0:0"});
  const Ran bad = cli(wide, {"-o", "json", "security", "check"});
  EXPECT_EQ(bad.exit, 1);
  EXPECT_TRUE(says(bad.out, "\"level\":\"BAD\",\"about\":\"valkyrie://0.0.0.0:"));
}

}  // namespace
}  // namespace valkyrie::tests
