// Clients, services and runners that show a node with a policy who they are.
#include <atomic>
#include <chrono>
#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <mutex>
#include <sys/stat.h>

#include "server/ops/testing/policy_files.h"
#include "tests/e2e/programs.h"
#include "valkyrie/client.h"

namespace valkyrie::tests {
namespace {

using server::testing::PolicyFiles;

constexpr std::string_view kPolicy = R"(
provider robots api_key keys=keys
provider idp token issuer=test audience=node keys=secrets secrets=accept skew=0s
role member
  allow *
bind api_key subject ci member
bind token group devs member
)";

class CredentialTest : public ::testing::Test {
 protected:
  // A file that holds a credential.
  std::string file(const std::string& credential) {
    const std::string path = fmt::format("{}/token-{}", files.path(), ++files_made_);
    std::ofstream(path) << credential << "\n";
    EXPECT_EQ(::chmod(path.c_str(), 0600), 0);
    return path;
  }
  [[nodiscard]] std::string token(std::chrono::seconds life) const {
    const auto now = std::chrono::system_clock::now();
    return files.token("ann", std::chrono::floor<std::chrono::seconds>(now) + life, "devs");
  }
  Result<Client> connect(ClientOptions options) const {
    options.log = [](std::string_view) {};
    return Client::connect(node.tcp_url, std::move(options));
  }

  PolicyFiles files{kPolicy};
  const std::string key = files.add_key({.subject = "ci"});
  RunningNode node{files.arguments()};

 private:
  int files_made_ = 0;
};

TEST_F(CredentialTest, command_line_shows_the_credential_of_a_file_or_of_the_environment) {
  const std::string path = file(key);
  const std::vector<std::string> ping{"ping", "--count", "1",         "--timeout",
                                      "5s",   "--node",  node.tcp_url};
  EXPECT_NE(cli(ping).exit, 0);
  std::vector<std::string> with_file = ping;
  with_file.insert(with_file.end(), {"--token-file", path});
  EXPECT_EQ(cli(with_file).exit, 0);
  EXPECT_EQ(cli(ping, {.environment = {{"VALKYRIE_TOKEN_FILE", path}}}).exit, 0);
  EXPECT_EQ(cli(ping, {.environment = {{"VALKYRIE_TOKEN", key}}}).exit, 0);
}

TEST_F(CredentialTest, file_that_others_may_read_is_refused_and_nothing_of_it_is_said) {
  const std::string path = file(key);
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  const Ran ran = cli({"ping", "--count", "1", "--node", node.tcp_url, "--token-file", path});
  EXPECT_EQ(ran.exit, 2);
  EXPECT_NE(ran.err.find(path), std::string::npos);
  EXPECT_EQ(ran.err.find(key), std::string::npos);
}

TEST_F(CredentialTest, wrong_credential_is_refused_and_nothing_of_it_is_said) {
  std::string wrong = key;
  wrong.back() = wrong.back() == 'A' ? 'E' : 'A';
  std::promise<std::string> told;
  std::atomic<bool> once{false};
  ClientOptions options;
  options.credential = [wrong] { return wrong; };
  options.log = [&](std::string_view line) {
    if (!once.exchange(true)) told.set_value(std::string(line));
  };
  auto client = Client::connect(node.tcp_url, std::move(options));
  const std::string line = client ? told.get_future().get() : client.error().to_string();
  EXPECT_NE(line.find("unauthenticated"), std::string::npos) << line;
  EXPECT_EQ(line.find(wrong), std::string::npos);
  if (client) client->close(Duration::zero());
  node.process.signal(SIGTERM);
  const std::string log = node.process.log.rest();
  EXPECT_EQ(log.find(wrong), std::string::npos);
  EXPECT_EQ(log.find(key), std::string::npos);
}

TEST_F(CredentialTest, runner_with_a_token_file_executes_jobs) {
  const std::string path = file(key);
  const Runner runner(node, "builder", {"--token-file", path},
                      {.environment = {{"VALKYRIE_TOKEN", key}}});
  const Ran ran = cli({"job", "run", "--node", node.tcp_url, "--token-file", path, "--", "true"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
}

TEST_F(CredentialTest, handlers_see_who_calls_and_how_it_was_proven) {
  auto service = connect({.token_file = file(key)});
  ASSERT_TRUE(service.has_value());
  Service whoami("test.WhoAmI");
  whoami.unary("Tell", [](IncomingCall& call, BytesView, Reply reply) {
    const Identity& caller = call.caller();
    reply.send(
        fmt::format("{} {} {}", static_cast<int>(caller.proof), caller.tenant, caller.subject));
  });
  ASSERT_TRUE(service->serve(std::move(whoami)).wait().has_value());
  const auto told = [&](const std::string& credential) {
    auto client = connect({.credential = [credential] { return credential; }});
    if (!client) return client.error().to_string();
    auto reply = client->call("test.WhoAmI/Tell", "").wait();
    return reply ? std::string(BytesView(*reply).text()) : reply.error().to_string();
  };
  EXPECT_EQ(told(key), "5  ci");
  EXPECT_EQ(told(token(std::chrono::hours(1))), "4  ann");
}

TEST_F(CredentialTest, client_renews_its_credential_before_it_ends) {
  std::atomic<int> asked{0};
  std::mutex mutex;
  std::string lines;
  std::promise<void> renewed;
  ClientOptions options;
  options.credential = [&] {
    if (++asked == 3) renewed.set_value();
    return token(std::chrono::seconds(2 + asked));
  };
  options.log = [&](std::string_view line) {
    const std::lock_guard lock(mutex);
    lines += line;
  };
  auto client = Client::connect(node.tcp_url, std::move(options));
  ASSERT_TRUE(client.has_value()) << client.error().to_string();
  renewed.get_future().wait();
  EXPECT_TRUE(client->call("valkyrie.Node/Echo", "x").wait().has_value());
  client->close();
  const std::lock_guard lock(mutex);
  EXPECT_EQ(lines, "");
}

}  // namespace
}  // namespace valkyrie::tests
