// Tests a service and its client with a real node in the same process: no port, no file, no mock.
#include <counter.h>
#include <gtest/gtest.h>

#include "valkyrie/testing/node.h"

namespace example {
namespace {

using valkyrie::StatusCode;

class Counter : public testing::Test {
 protected:
  Counter() { EXPECT_TRUE(server.serve(counter()).wait().has_value()); }

  valkyrie::testing::Node node;
  valkyrie::Client server = node.connect().value();
  valkyrie::Client client = node.connect().value();
};

TEST_F(Counter, adds_up) {
  EXPECT_EQ(add(client, 2).value(), "2");
  EXPECT_EQ(add(client, 3).value(), "5");
}

TEST_F(Counter, refuses_what_is_no_number) {
  const auto reply = client.call("demo.Counter/Add", "two").wait();
  EXPECT_EQ(reply.error().code(), StatusCode::invalid_argument);
}

TEST_F(Counter, goes_on_after_a_lost_connection) {
  EXPECT_EQ(add(client, 2).value(), "2");
  node.cut();
  EXPECT_EQ(add(client, 3).value(), "5");
}

}  // namespace
}  // namespace example
