// A node in the process of its user, and a call through it.
#include <cstdio>

#include "valkyrie/testing/node.h"

int main() {
  valkyrie::testing::Node node;
  auto server = node.connect();
  auto caller = node.connect();
  if (!server || !caller) return 1;
  valkyrie::Service service("out.Side");
  service.unary("Echo", [](valkyrie::IncomingCall&, valkyrie::BytesView body,
                           valkyrie::Reply reply) { reply.send(body); });
  if (!server->serve(std::move(service)).wait()) return 1;
  const auto reply = caller->call("out.Side/Echo", "there").wait();
  if (!reply || reply->text() != "there") return 1;
  std::printf("called through a node of this process\n");
}
