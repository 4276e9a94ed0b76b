// Classes and ceilings at the doors of a real node: docs/operating/qos.md.
#include <gtest/gtest.h>

#include "tests/e2e/programs.h"
#include "valkyrie/client.h"

namespace valkyrie::tests {
namespace {

TEST(Qos, an_address_lowers_the_ceiling_of_all_who_connect_there) {
  const RunningNode node(
      {"--set", "qos.ceiling=critical", "--set", "qos.listener_ceiling.\"127.0.0.1:0\"=data"});
  Result<Client> at_socket = Client::connect(node.unix_url);
  Result<Client> at_port = Client::connect(node.tcp_url);
  ASSERT_TRUE(at_socket.has_value() && at_port.has_value());
  const auto call = [](Result<Client>& client, Qos qos) {
    return client->call("valkyrie.Node/Echo", "x", {.qos = qos}).wait();
  };
  EXPECT_TRUE(call(at_socket, Qos::critical).has_value());
  EXPECT_TRUE(call(at_port, Qos::data).has_value());
  const auto refused = call(at_port, Qos::job);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), StatusCode::permission_denied) << refused.error().to_string();
  EXPECT_EQ(refused.error().outcome(), Outcome::not_executed);
}

TEST(Qos, a_ceiling_of_an_address_that_is_not_listened_on_is_an_error) {
  ServerProcess server(
      {"--check", "--ephemeral", "--set", "qos.listener_ceiling.\"valkyrie://127.0.0.1:7\"=data"});
  EXPECT_TRUE(says(server.log.rest(), "does not listen on valkyrie://127.0.0.1:7"));
  EXPECT_EQ(server.wait(), 2);
}

}  // namespace
}  // namespace valkyrie::tests
