// Calls and registrations between the shards of a node.
#include <gtest/gtest.h>

#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::Outcome;
using protocol::StatusCode;

constexpr const char* kGreeter = "hello.Greeter";

TEST(RouterShards, a_call_crosses_from_any_shard_to_any_other) {
  VirtualNetwork network(1, 3);
  for (std::uint32_t from = 0; from < 3; ++from) {
    for (std::uint32_t to = 0; to < 3; ++to) {
      const std::string name = "s" + std::to_string(from) + std::to_string(to);
      Peer& service = *new Peer(network, to);  // NOLINT
      std::unique_ptr<Peer> service_owner(&service);
      Peer client(network, from);
      service.serve(name, "one");
      network.run();
      ASSERT_EQ(service.instances.size(), 1U);
      for (int i = 0; i < 10; ++i) client.call(name, "M", "x" + std::to_string(i));
      network.run();
      for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(client.answers.at(static_cast<std::size_t>(i)).payload, "x" + std::to_string(i));
      }
      network.cut(service.wire);
      network.cut(client.wire);
      network.run();
    }
  }
}

}  // namespace
}  // namespace valkyrie::simulation
