// A node and its clients through TLS with certificates on both sides, as users start them.
#include <csignal>
#include <ctime>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <ostream>
#include <sys/stat.h>

#include "protocol/tls/testing/authority.h"
#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

namespace tls = protocol::tls;
using tls::testing::Authority;
using tls::testing::kDay;
using tls::testing::Wish;

using Environment = std::vector<std::pair<std::string, std::string>>;

// What wishes ask for, at the time that programs see.
Wish now(Wish wish) {
  const std::int64_t time = std::time(nullptr);
  wish.not_before = time - kDay;
  wish.not_after = time + kDay;
  return wish;
}

// An authority, with the files of a node and of a client.
class Tls : public ::testing::Test {
 protected:
  Tls() {
    write("ca.crt", authority_.root());
    write_pair("node", authority_.issue(now(tls::testing::node_wish())));
    write_pair("client", authority_.issue(now(tls::testing::client_wish())));
  }

  [[nodiscard]] std::string file(const std::string& name) const {
    return scratch_.path() + "/" + name;
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name)) << text;
    ASSERT_EQ(::chmod(file(name).c_str(), 0600), 0);
  }
  void write_pair(const std::string& name, const tls::Credentials& credentials) const {
    write(name + ".crt", credentials.certificate);
    write(name + ".key", credentials.key);
  }
  // The command line of a node that demands certificates.
  [[nodiscard]] std::vector<std::string> node_arguments(
      const std::vector<std::string>& settings = {}) const {
    std::vector<std::string> arguments{"--listen", "tls://127.0.0.1:0"};
    const auto set = [&](const std::string& setting) {
      arguments.insert(arguments.end(), {"--set", setting});
    };
    set("tls.certificate=" + file("node.crt"));
    set("tls.key=" + file("node.key"));
    set("tls.client_ca=" + file("ca.crt"));
    for (const std::string& setting : settings) set(setting);
    return arguments;
  }
  // Of a client with a certificate.
  [[nodiscard]] Environment environment() const {
    return {{"VALKYRIE_TLS_CA", file("ca.crt")},
            {"VALKYRIE_TLS_CERTIFICATE", file("client.crt")},
            {"VALKYRIE_TLS_KEY", file("client.key")}};
  }
  // The tls:// door of a node, which is at localhost as well.
  static std::string url_of(const RunningNode& node) {
    const std::size_t begin = node.doors.find("tls://");
    if (begin == std::string::npos) return {};
    return node.doors.substr(begin, node.doors.find('"', begin) - begin);
  }
  static Ran ping(const std::string& url, const Environment& environment) {
    return cli({"ping", "--count", "1", "--timeout", "1s", "--node", url},
               {.environment = environment});
  }
  // Tells a node to read its files again; the line that says how it went.
  static std::string reload(RunningNode& node) {
    node.process.signal(SIGHUP);
    return node.process.log.find("reload").value_or("");
  }

  const std::int64_t time_ = std::time(nullptr);
  ScratchDirectory scratch_;
  Authority authority_{"root", time_ - 10 * kDay, time_ + 10 * kDay};
};

TEST_F(Tls, carries_calls_of_services_and_callers_over_every_shard) {
  auto arguments = node_arguments({"tls.require_pq=true"});
  arguments.insert(arguments.end(), {"--shards", "2"});
  RunningNode node(arguments);
  const std::string url = url_of(node);
  ASSERT_FALSE(url.empty()) << node.doors;
  Process serve("valkyrie", {"serve", "test.Echo", "--echo", "--node", url},
                {.environment = environment()});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  for (int i = 0; i < 8; ++i) {
    const Ran ran =
        cli({"call", "test.Echo/Run", "secret", "--node", url}, {.environment = environment()});
    EXPECT_EQ(ran.exit, 0) << ran.err;
    EXPECT_TRUE(ran.out.starts_with("secret")) << ran.out;
  }
  const Ran bench = cli({"bench", "call", "test.Echo/Run", "--time", "200ms", "--depth", "8",
                         "--size", "100000", "-o", "json", "--node", url},
                        {.environment = environment()});
  EXPECT_EQ(bench.exit, 0) << bench.err;
  EXPECT_NE(bench.out.find("\"errors\":0"), std::string::npos) << bench.out;
}

// What is wrong with a certificate, what it is called, and what alerts can say of that.
struct Case {
  const char* name;
  const char* alert;
  void (*spoil)(Wish& wish);
};

const Case kCases[] = {
    {"expired", "expired", [](Wish& wish) { wish.not_after = wish.not_before + 1; }},
    {"not_yet_valid", "expired", [](Wish& wish) { wish.not_before = wish.not_after - 1; }},
    {"wrong_purpose", "wrong_purpose",
     [](Wish& wish) { wish.usage = wish.usage == "serverAuth" ? "clientAuth" : "serverAuth"; }},
};

TEST_F(Tls, a_node_with_a_bad_certificate_is_not_believed) {
  RunningNode node(node_arguments());
  const std::string url = url_of(node);
  ASSERT_EQ(ping(url, environment()).exit, 0);
  for (const Case& each : kCases) {
    Wish wish = now(tls::testing::node_wish());
    each.spoil(wish);
    write_pair("node", authority_.issue(wish));
    ASSERT_TRUE(says(reload(node), "reloaded"));
    const Ran ran = ping(url, environment());
    EXPECT_NE(ran.exit, 0);
    EXPECT_TRUE(says(ran.err, each.name)) << ran.err;
  }
  Wish elsewhere = now(tls::testing::node_wish());
  elsewhere.names = "DNS:other.example";
  write_pair("node", authority_.issue(elsewhere));
  ASSERT_TRUE(says(reload(node), "reloaded"));
  EXPECT_TRUE(says(ping(url, environment()).err, "wrong_name"));
  write_pair("node", Authority::self_signed(now(tls::testing::node_wish())));
  ASSERT_TRUE(says(reload(node), "reloaded"));
  EXPECT_TRUE(says(ping(url, environment()).err, "untrusted"));
}

TEST_F(Tls, a_client_with_a_bad_certificate_is_refused) {
  write("ca.crl", authority_.revoke({77}, time_ - kDay, time_ + kDay));
  RunningNode node(node_arguments({"tls.crl=" + file("ca.crl")}));
  const std::string url = url_of(node);
  ASSERT_EQ(ping(url, environment()).exit, 0);
  const auto refused_as = [&](std::string_view reason) {
    const Ran ran = ping(url, environment());
    EXPECT_NE(ran.exit, 0) << reason;
    EXPECT_TRUE(says(ran.err, reason));
  };
  for (const Case& each : kCases) {
    Wish wish = now(tls::testing::client_wish());
    each.spoil(wish);
    write_pair("client", authority_.issue(wish));
    refused_as(each.alert);
  }
  // Of one host it is logged once in a while.
  EXPECT_TRUE(node.process.log.find("expired").has_value());
  write_pair("client", Authority::self_signed(now(tls::testing::client_wish())));
  refused_as("untrusted");
  write_pair("client", authority_.issue(now(tls::testing::client_wish())));
  ASSERT_EQ(ping(url, environment()).exit, 0);
  write("ca.crl", authority_.revoke({77, 2}, time_ - kDay, time_ + kDay));
  ASSERT_TRUE(says(reload(node), "reloaded"));
  refused_as("revoked");
}

TEST_F(Tls, a_client_without_a_certificate_is_refused_unless_it_is_optional) {
  const Environment nobody{{"VALKYRIE_TLS_CA", file("ca.crt")}};
  {
    RunningNode node(node_arguments());
    EXPECT_NE(ping(url_of(node), nobody).exit, 0);
    EXPECT_TRUE(node.process.log.find("no_certificate").has_value());
  }
  RunningNode node(node_arguments({"tls.client=optional"}));
  EXPECT_EQ(ping(url_of(node), nobody).exit, 0);
}

TEST_F(Tls, sessions_outlive_a_reload_and_garbage_changes_nothing) {
  RunningNode node(node_arguments());
  const std::string url = url_of(node);
  Process serve("valkyrie", {"serve", "test.Echo", "--echo", "--node", url},
                {.environment = environment()});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  const auto works = [&] {
    const Ran ran =
        cli({"call", "test.Echo/Run", "still here", "--node", url}, {.environment = environment()});
    EXPECT_EQ(ran.exit, 0) << ran.err;
  };
  write("node.crt", "garbage\n");
  EXPECT_TRUE(says(reload(node), "reload failed"));
  works();
  // A new certificate whose key has not come yet.
  const tls::Credentials next = authority_.issue(now(tls::testing::node_wish()));
  write("node.crt", next.certificate);
  EXPECT_TRUE(says(reload(node), "does not belong to the certificate"));
  works();
  write("node.key", next.key);
  EXPECT_TRUE(says(reload(node), "reloaded"));
  works();
  ASSERT_EQ(::chmod(file("node.key").c_str(), 0644), 0);
  EXPECT_TRUE(says(reload(node), "other users may read this secret"));
  works();
  serve.signal(SIGTERM);
  EXPECT_EQ(serve.wait(), 0) << "it has never lost the node";
}

TEST_F(Tls, its_door_takes_no_plain_peer_and_others_take_no_tls) {
  RunningNode node(node_arguments());
  const std::string url = url_of(node);
  EXPECT_NE(ping("valkyrie" + url.substr(url.find(':')), environment()).exit, 0);
  EXPECT_TRUE(node.process.log.find("plain_bytes").has_value());
  RunningNode plain;
  EXPECT_NE(ping("tls" + plain.tcp_url.substr(plain.tcp_url.find(':')), environment()).exit, 0);
  EXPECT_TRUE(plain.process.log.find("tls_bytes").has_value());
}

TEST_F(Tls, files_that_cannot_be_used_are_named_by_node_and_client) {
  write("node.crt", "garbage\n");
  ServerProcess server(node_arguments());
  EXPECT_TRUE(server.log.find("it holds no certificate in PEM form").has_value());
  EXPECT_EQ(server.wait(), 1);
  Environment missing = environment();
  missing.front().second = file("nothing.crt");
  const Ran ran = ping("tls://127.0.0.1:1", missing);
  EXPECT_NE(ran.exit, 0);
  EXPECT_TRUE(says(ran.err, "nothing.crt: No such file"));
  ASSERT_EQ(::chmod(file("client.key").c_str(), 0644), 0);
  EXPECT_TRUE(says(ping("tls://127.0.0.1:1", environment()).err, "other users may read"));
}

}  // namespace
}  // namespace valkyrie::tests
