// Secrets stay where they are: a node and its clients are given every kind of secret, good ones and
// bad ones, and none of them is found in anything that a program then says or writes down.
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/hex_text.h"
#include "server/ops/testing/test_client.h"
#include "server/policy/base64url.h"
#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

using server::testing::TestClient;

constexpr std::string_view kHmacSecret = "planted-hmac-secret-of-36-characters";
constexpr std::string_view kGarbage = "planted-garbage-that-is-no-key";
constexpr std::string_view kIssuer = "https://id.example";

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// Of an API key: what is behind its mark and its prefix. It may have an underscore itself.
std::string_view secret_of(std::string_view key) { return key.substr(key.find('_', 3) + 1); }

// The URL of a door among those that a node has printed.
std::string door(std::string_view doors, std::string_view scheme) {
  const std::size_t begin = doors.find(scheme);
  if (begin == std::string_view::npos) return {};
  return std::string(doors.substr(begin, doors.find('"', begin) - begin));
}

class PlantedSecrets : public ::testing::Test {
 protected:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  void SetUp() override {
    std::filesystem::create_directory(file("state"));
    make_certificates();
    make_noise_keys();
    make_credentials();
    auto reactor = transport::Reactor::create();
    ASSERT_TRUE(reactor.has_value());
    reactor_ = std::move(*reactor);
  }

  [[nodiscard]] std::string file(const std::string& name) const {
    return scratch_.path() + "/" + name;
  }
  void write(const std::string& name, std::string_view text, mode_t mode = 0600) const {
    std::ofstream(file(name)) << text;
    ASSERT_EQ(::chmod(file(name).c_str(), mode), 0);
  }

  // From now on this must not be heard.
  void plant(const std::string& what, std::string_view secret) {
    ASSERT_GE(secret.size(), 16U) << what << ": so short a text may come up by chance";
    planted_[what] = secret;
  }
  // A program has said this.
  void hear(const std::string& who, std::string_view text) {
    heard_ += fmt::format("--- {} ---\n{}\n", who, text);
  }
  // Runs `valkyrie ARGUMENTS`, and listens.
  int run(const std::vector<std::string>& arguments, const Environment& environment = {}) {
    const Ran ran = cli(arguments, {.environment = environment});
    hear("valkyrie " + arguments.front(), ran.out + ran.err);
    return ran.exit;
  }
  // A command whose output is made of secrets, into a file of its owner.
  void make(const std::vector<std::string>& arguments) { ASSERT_EQ(run(arguments), 0) << heard_; }

  void plant_pem(const std::string& name) {
    // The body of PKCS #8 begins with what all such keys share.
    const std::string body = content(file(name));
    const std::size_t line = body.find('\n') + 1;
    plant(name, std::string_view(body).substr(line + 44, 20));
  }

  void make_certificates() {
    make({"security", "init-ca", file("pki")});
    make({"security", "issue", file("pki"), "server:node=localhost,127.0.0.1", "client:ada"});
    for (const char* name : {"pki/ca.key", "pki/node.key", "pki/ada.key"}) plant_pem(name);
  }
  void make_noise_keys() {
    for (const auto& [kind, name] :
         std::vector<std::pair<std::string, std::string>>{{"noise", "state/noise.key"},
                                                          {"audit", "state/audit.key"},
                                                          {"noise", "client.noise"},
                                                          {"psk", "psk"},
                                                          {"psk", "other.psk"}}) {
      make({"security", "keygen", kind, file(name)});
      plant(name, first_line(content(file(name))));
    }
  }
  // A token with its signature planted.
  void make_token(const std::string& name, std::string_view issuer) {
    make({"security", "token", "new", "--key", file("keys.json"), "--issuer", std::string(issuer),
          "--audience", "valkyrie", "--subject", "ci", "--out", file(name)});
    const std::string token = first_line(content(file(name)));
    plant(name + ", signature", std::string_view(token).substr(token.rfind('.') + 1));
    plant(name + ", claims", std::string_view(token).substr(0, token.rfind('.')));
  }
  void make_credentials() {
    const auto secret = std::as_bytes(std::span(kHmacSecret));
    const std::string encoded = policy::encode_base64url(secret);
    write("keys.json",
          fmt::format(R"({{"keys":[{{"kty":"oct","alg":"HS256","kid":"k","k":"{}"}}]}})", encoded));
    plant("HMAC secret", kHmacSecret);
    plant("HMAC secret, base64url", encoded);
    plant("HMAC secret, digits", protocol::hex_text(secret));
    plant("garbage", kGarbage);
    make_token("good.token", kIssuer);
    make_token("foreign.token", "https://other.example");
    make({"security", "apikey", "new", file("api-keys"), "--subject", "robot", "--out",
          file("good.key")});
    const std::string key = first_line(content(file("good.key")));
    plant("API key", secret_of(key));
    write("policy", fmt::format("provider own unix subjects=uid:{0}\n"
                                "provider idp token issuer={1} audience=valkyrie "
                                "keys=keys.json secrets=accept\n"
                                "provider robots api_key keys=api-keys\n"
                                "provider tls certificate\n"
                                "provider keys noise\n"
                                "role all\n  allow *\n"
                                "bind any subject * all\n",
                                ::getuid(), kIssuer));
  }

  [[nodiscard]] std::vector<std::string> node_arguments() const {
    std::vector<std::string> all{"--state",     file("state"), "--security",   file("policy"),
                                 "--audit-log", file("log"),   "--shards",     "1",
                                 "--log-level", "debug",       "--print-doors"};
    for (const std::string& url :
         {"unix://" + file("n.sock"), std::string("valkyrie://127.0.0.1:0"),
          std::string("tls://127.0.0.1:0"), std::string("noise://127.0.0.1:0")}) {
      all.insert(all.end(), {"--listen", url});
    }
    for (const std::string& setting :
         {"tls.certificate=" + file("pki/node.crt"), "tls.key=" + file("pki/node.key"),
          "tls.client_ca=" + file("pki/ca.crt"), "noise.psk=" + file("psk")}) {
      all.insert(all.end(), {"--set", setting});
    }
    return all;
  }

  // A session that shows a credential; whether it was let in.
  bool show(const std::string& url, const std::string& credential) {
    protocol::SessionConfig config;
    config.token = credential;
    TestClient client(*reactor_, url, config);
    const bool ready =
        client.wait_ready() && client.call("valkyrie.Node", "Echo", "x").payload == "x";
    if (client.closed()) hear("goaway", transport::to_string(*client.wait_closed()));
    return ready;
  }
  // Good and bad credentials, at every door that takes them.
  void show_all(const std::string& doors) {
    const std::string token = first_line(content(file("good.token")));
    const std::string key = first_line(content(file("good.key")));
    std::string forged = token;
    forged[forged.size() - 8] = forged[forged.size() - 8] == 'A' ? 'B' : 'A';
    std::string other_key = key;
    other_key[other_key.size() - 8] = other_key[other_key.size() - 8] == 'A' ? 'B' : 'A';
    plant("forged signature", std::string_view(forged).substr(forged.rfind('.') + 1));
    plant("forged API key", secret_of(other_key));
    for (const std::string& url : {"unix://" + file("n.sock"), door(doors, "valkyrie://")}) {
      EXPECT_TRUE(show(url, token));
      EXPECT_TRUE(show(url, key));
      EXPECT_FALSE(show(url, forged));
      EXPECT_FALSE(show(url, other_key));
      EXPECT_FALSE(show(url, first_line(content(file("foreign.token")))));
      EXPECT_FALSE(show(url, std::string(kGarbage)));
      EXPECT_FALSE(show(url, fmt::format("vk_aaaaaaaa_{}", kGarbage)));
      EXPECT_FALSE(show(url, fmt::format("{0}.{0}.{0}", kGarbage)));
    }
  }
  // The same by the command line, which tells people what the node has said.
  void show_from_files() {
    const std::string good = first_line(content(file("good.token")));
    write("truncated.token", good.substr(0, good.size() - 8));
    write("garbage.token", kGarbage);
    for (const char* name : {"good.token", "foreign.token", "truncated.token", "garbage.token",
                             "good.key", "keys.json"}) {
      run({"-v", "--node", "unix://" + file("n.sock"), "ping", "--count", "1", "--timeout", "2s"},
          {{"VALKYRIE_TOKEN_FILE", file(name)}});
    }
  }
  // Keys of channels, right and wrong.
  void dial_all(const std::string& doors) {
    const std::string tls = door(doors, "tls://");
    const std::string noise = door(doors, "noise://");
    const auto ping = [&](const std::string& url, const Environment& environment) {
      return run({"-v", "--node", url, "ping", "--count", "1", "--timeout", "2s"}, environment);
    };
    EXPECT_EQ(ping(tls, {{"VALKYRIE_TLS_CA", file("pki/ca.crt")},
                         {"VALKYRIE_TLS_CERTIFICATE", file("pki/ada.crt")},
                         {"VALKYRIE_TLS_KEY", file("pki/ada.key")}}),
              0);
    EXPECT_NE(ping(tls, {{"VALKYRIE_TLS_CA", file("pki/ca.crt")},
                         {"VALKYRIE_TLS_CERTIFICATE", file("pki/ada.crt")},
                         {"VALKYRIE_TLS_KEY", file("pki/node.key")}}),
              0);
    EXPECT_EQ(ping(noise, {{"VALKYRIE_NOISE_KEY", file("client.noise")},
                           {"VALKYRIE_NOISE_PSK", file("psk")}}),
              0);
    EXPECT_NE(ping(noise, {{"VALKYRIE_NOISE_KEY", file("client.noise")},
                           {"VALKYRIE_NOISE_PSK", file("other.psk")}}),
              0);
    EXPECT_NE(ping(noise, {{"VALKYRIE_NOISE_KEY", file("good.token")}}), 0);
    EXPECT_NE(ping(noise, {{"VALKYRIE_NOISE_PSK", file("good.key")}}), 0);
  }
  // What the tools say about all those files.
  void ask_tools() {
    const std::string socket = "unix://" + file("n.sock");
    run({"--node", socket, "security", "check"});
    run({"--node", socket, "security", "whoami"});
    run({"--node", socket, "ban", "ls"});
    run({"--node", socket, "-o", "json", "doctor"});
    run({"--node", socket, "-o", "raw", "call", "valkyrie.Node/Info"});
    run({"security", "apikey", "ls", file("api-keys")});
    run({"security", "token", "inspect", "@" + file("good.token"), "--keys", file("keys.json")});
    run({"-o", "json", "security", "token", "inspect", "@" + file("foreign.token")});
    for (const char* wrong : {"good.key", "psk", "keys.json", "pki/node.key"}) {
      EXPECT_NE(run({"security", "token", "inspect", "@" + file(wrong)}), 0) << wrong;
      EXPECT_NE(run({"security", "token", "new", "--key", file(wrong), "--issuer", "a",
                     "--audience", "b", "--subject", "c", "--out", file("new.token")}) == 0,
                std::string_view(wrong) == "keys.json" ? false : true);
      EXPECT_NE(run({"security", "apikey", "ls", file(wrong)}), 0) << wrong;
      EXPECT_NE(run({"security", "explain", "--security", file(wrong), "none", "call", "a"}), 0);
      EXPECT_NE(run({"audit", "key", file(wrong)}) == 0, std::string_view(wrong) != "psk");
    }
    std::vector<std::string> check{"security", "check"};
    const std::vector<std::string> node = node_arguments();
    check.insert(check.end(), node.begin(), node.end());
    EXPECT_EQ(run(check), 0);
  }
  // Files that hold something else, at a reload and at a start.
  void spoil_files(const ServerProcess& node) {
    write("pki/node.key", kGarbage);
    write("psk", kGarbage);
    node.signal(SIGHUP);
  }

  void expect_nothing_leaked() const {
    for (const auto& [what, secret] : planted_) {
      const std::size_t at = heard_.find(secret);
      if (at == std::string::npos) continue;
      ADD_FAILURE() << what
                    << " leaked: " << heard_.substr(at < 200 ? 0 : at - 200, 200 + secret.size());
    }
  }

  ScratchDirectory scratch_;
  std::unique_ptr<transport::Reactor> reactor_;
  std::map<std::string, std::string> planted_;
  std::string heard_;
};

TEST_F(PlantedSecrets, are_in_no_log_no_record_no_answer_and_no_output) {
  ServerProcess node(node_arguments());
  const std::string doors = node.wait_doors();
  ASSERT_FALSE(doors.empty()) << node.log.rest();
  hear("doors", doors);
  show_all(doors);
  show_from_files();
  dial_all(doors);
  ask_tools();
  spoil_files(node);
  hear("reload", node.log.find("reload failed").value_or(""));
  node.signal(SIGTERM);
  hear("log", node.log.rest());
  hear("out", node.out.rest());
  EXPECT_EQ(node.wait(), 0);
  for (const auto& entry : std::filesystem::directory_iterator(file("log"))) {
    hear("audit", content(entry.path()));
  }
  // It was listened to.
  for (const char* part : {"session.open", "door.refused", "the token", "API key", "reload failed",
                           "--- goaway ---"}) {
    EXPECT_NE(heard_.find(part), std::string::npos) << part << "\n" << heard_;
  }
  expect_nothing_leaked();
}

TEST_F(PlantedSecrets, are_in_no_error_of_a_node_that_does_not_start) {
  const auto start = [&](const std::string& spoilt, std::string_view text, mode_t mode) {
    const std::string before = content(file(spoilt));
    write(spoilt, text, mode);
    ServerProcess node(node_arguments());
    hear(spoilt, node.log.rest() + node.out.rest());
    EXPECT_EQ(node.wait(), 1) << spoilt;
    write(spoilt, before);
  };
  for (const char* spoilt : {"keys.json", "api-keys", "policy", "pki/node.key", "psk",
                             "state/noise.key", "state/audit.key"}) {
    start(spoilt, kGarbage, 0600);
  }
  start("api-keys", fmt::format("aaaaaaaa {:064} subject=a vk_aaaaaaaa_{}\n", 0, kGarbage), 0600);
  start("policy", fmt::format("role a\n allow {}\n", kGarbage), 0600);
  for (const char* wide :
       {"keys.json", "pki/node.key", "psk", "state/noise.key", "state/audit.key"}) {
    start(wide, content(file(wide)), 0644);
  }
  expect_nothing_leaked();
}

TEST_F(PlantedSecrets, would_be_found) {
  hear("somebody", "the key is " + first_line(content(file("good.key"))));
  bool found = false;
  for (const auto& [what, secret] : planted_) found |= heard_.find(secret) != std::string::npos;
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace valkyrie::tests
