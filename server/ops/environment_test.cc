#include "server/ops/environment.h"

#include <gtest/gtest.h>

namespace valkyrie::server {
namespace {

TEST(Environment, puts_the_socket_where_clients_look_for_it) {
  EXPECT_EQ(default_socket_path({.runtime_directory = "/run/user/7", .user = 7}),
            "/run/user/7/valkyrie/node.sock");
  EXPECT_EQ(default_socket_path({.runtime_directory = "/run/user/0", .user = 0}),
            "/run/user/0/valkyrie/node.sock");
  EXPECT_EQ(default_socket_path({.user = 0}), "/run/valkyrie/node.sock");
  EXPECT_EQ(default_socket_path({.user = 7}), "/tmp/valkyrie-7/node.sock");
}

TEST(Environment, puts_state_into_the_users_directory) {
  EXPECT_EQ(default_state_directory({.state_home = "/s", .home = "/h"}), "/s/valkyrie");
  EXPECT_EQ(default_state_directory({.home = "/h"}), "/h/.local/state/valkyrie");
  EXPECT_EQ(default_state_directory({}), "/var/lib/valkyrie");
}

}  // namespace
}  // namespace valkyrie::server
