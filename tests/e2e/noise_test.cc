// A node and its clients through Noise, as users start them.
#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <sys/stat.h>

#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

// The noise:// door among the doors that a node has printed.
std::string noise_url(std::string_view doors) {
  const std::size_t begin = doors.find("noise://");
  if (begin == std::string_view::npos) return {};
  return std::string(doors.substr(begin, doors.find('"', begin) - begin));
}

// Where it is, without the key.
std::string without_key(const std::string& url) { return url.substr(0, url.find('?')); }

class Noise : public ::testing::Test {
 protected:
  // Runs `valkyrie ARGUMENTS --node URL` to its end.
  static Ran at(const std::string& url, std::vector<std::string> arguments,
                const ProcessOptions& options = {}) {
    arguments.insert(arguments.end(), {"--node", url});
    return cli(arguments, options);
  }
  static std::string text_of(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(Noise, carries_calls_of_services_and_callers_over_every_shard) {
  RunningNode node({"--listen", "noise://127.0.0.1:0", "--shards", "2"});
  const std::string url = noise_url(node.doors);
  ASSERT_NE(url.find("?key="), std::string::npos) << node.doors;
  Process serve("valkyrie", {"serve", "test.Echo", "--echo", "--node", url});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  for (int i = 0; i < 8; ++i) {
    const Ran ran = at(url, {"call", "test.Echo/Run", "secret"});
    EXPECT_EQ(ran.exit, 0) << ran.err;
    EXPECT_TRUE(ran.out.starts_with("secret")) << ran.out;
  }
  // And to one who came in plain, by another door.
  EXPECT_EQ(cli(node, {"call", "test.Echo/Run", "x"}).exit, 0);
  const Ran bench = at(url, {"bench", "call", "test.Echo/Run", "--time", "200ms", "--depth", "8",
                             "--size", "100000", "-o", "json"});
  EXPECT_EQ(bench.exit, 0) << bench.err;
  EXPECT_NE(bench.out.find("\"errors\":0"), std::string::npos) << bench.out;
}

TEST_F(Noise, another_key_than_the_nodes_opens_nothing) {
  RunningNode node({"--listen", "noise://127.0.0.1:0"});
  std::string url = noise_url(node.doors);
  url.back() = url.back() == '0' ? '1' : '0';
  const Ran ran = at(url, {"ping"});
  EXPECT_NE(ran.exit, 0);
  EXPECT_TRUE(node.process.log.find("not_authentic").has_value());
  EXPECT_EQ(cli(node, {"ping", "--count", "1"}).exit, 0) << "the node goes on";
}

TEST_F(Noise, an_address_without_the_key_says_what_is_missing) {
  RunningNode node({"--listen", "noise://127.0.0.1:0"});
  const Ran ran = at(without_key(noise_url(node.doors)), {"ping"});
  EXPECT_NE(ran.exit, 0);
  EXPECT_TRUE(says(ran.err, "the node's key is missing")) << ran.err;
}

TEST_F(Noise, its_door_takes_no_plain_peer) {
  RunningNode node({"--listen", "noise://127.0.0.1:0"});
  const std::string url = without_key(noise_url(node.doors));
  const std::string plain = "valkyrie" + url.substr(url.find(':'));
  EXPECT_NE(at(plain, {"ping"}).exit, 0);
  EXPECT_TRUE(node.process.log.find("plain_bytes").has_value());
}

TEST_F(Noise, the_key_of_a_node_outlives_its_runs) {
  const ScratchDirectory scratch;
  const std::vector<std::string> arguments{"--listen", "noise://127.0.0.1:0", "--state",
                                           scratch.path(), "--print-doors"};
  std::string first;
  for (int run = 0; run < 2; ++run) {
    ServerProcess server(arguments);
    const std::string url = noise_url(server.wait_doors());
    const std::string key = url.substr(url.find("?key="));
    if (run == 0) first = key;
    EXPECT_EQ(key, first);
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait(), 0);
  }
  const std::string path = scratch.path() + "/noise.key";
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(text_of(path).find(first.substr(5)), std::string::npos) << "the secret is not public";
}

TEST_F(Noise, a_key_that_others_may_read_is_refused) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/noise.key";
  std::ofstream(path) << std::string(64, 'a') << '\n';
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  ServerProcess server({"--listen", "noise://127.0.0.1:0", "--state", scratch.path()});
  EXPECT_TRUE(server.log.find("other users may read").has_value());
  EXPECT_NE(server.wait(), 0);
}

TEST_F(Noise, a_file_without_a_key_is_refused_by_node_and_client) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/noise.key";
  std::ofstream(path) << "not a key\n";
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  ServerProcess server({"--listen", "noise://127.0.0.1:0", "--state", scratch.path()});
  EXPECT_TRUE(server.log.find("holds no key").has_value());
  EXPECT_NE(server.wait(), 0);
  RunningNode node({"--listen", "noise://127.0.0.1:0"});
  const Ran ran =
      at(noise_url(node.doors), {"ping"}, {.environment = {{"VALKYRIE_NOISE_KEY", path}}});
  EXPECT_NE(ran.exit, 0);
  EXPECT_TRUE(says(ran.err, "this is no key")) << ran.err;
}

TEST_F(Noise, a_client_dials_again_where_the_node_likes_another_cipher_better) {
  RunningNode node({"--listen", "noise://127.0.0.1:0", "--set", "noise.cipher=chacha_poly",
                    "--log-level", "debug"});
  const Ran ran = at(noise_url(node.doors), {"ping", "--count", "1"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_TRUE(node.process.log.find("other_suite").has_value()) << "it began with AES-GCM";
}

TEST_F(Noise, a_client_shows_the_psk_that_its_node_asks_for) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/psk";
  std::ofstream(path) << std::string(64, '5') << '\n';
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  RunningNode node({"--listen", "noise://127.0.0.1:0", "--set", "noise.psk=" + path});
  const std::string url = noise_url(node.doors);
  const ProcessOptions knowing{.environment = {{"VALKYRIE_NOISE_PSK", path}}};
  EXPECT_EQ(at(url, {"ping", "--count", "1"}, knowing).exit, 0);
  EXPECT_NE(at(url, {"ping", "--count", "1"}).exit, 0);
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  const Ran open = at(url, {"ping", "--count", "1"}, knowing);
  EXPECT_NE(open.exit, 0);
  EXPECT_TRUE(says(open.err, "other users may read")) << open.err;
}

TEST_F(Noise, a_client_whose_key_is_on_no_list_is_told) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/keys";
  std::ofstream(path) << "# nobody yet\n";
  RunningNode node({"--listen", "noise://127.0.0.1:0", "--set", "noise.keys=" + path});
  const Ran ran = at(noise_url(node.doors), {"ping", "--count", "1"});
  EXPECT_NE(ran.exit, 0);
  EXPECT_TRUE(says(ran.err, "unauthenticated")) << ran.err;
}

}  // namespace
}  // namespace valkyrie::tests
