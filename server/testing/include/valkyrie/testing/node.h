// A node inside a unit test: the one of valkyrie-server, without a process around it.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "valkyrie/client.h"
#include "valkyrie/options.h"

namespace valkyrie::testing {

// How the node is made.
struct NodeOptions {
  // Threads of the node, 1 to 64. More than one lets connections land on different ones.
  std::size_t shards = 1;
  // Called with what the node writes to its log, one line at a time, on its threads. Empty: the log
  // is dropped.
  std::function<void(std::string_view line)> log{};
  // As valkyrie-server takes them by --set, such as {"services.defaults.deadline", "5s"}. Aborts on
  // one that it would refuse.
  std::vector<std::pair<std::string, std::string>> settings{};
};

// A running node of this process, on a Unix socket that has no file and a name of its own: tests
// run in parallel. It keeps no state. Its clock, and that of its clients, runs as the real one
// does, until advance() moves it on.
//
//   valkyrie::testing::Node node;
//   auto server = node.connect().value();
//   auto instance = server.serve(greeter()).wait();
//   auto caller = node.connect().value();
//   EXPECT_EQ(caller.call("hello.Greeter/SayHello", "Ada").wait()->text(), "Hello, Ada");
//   node.cut();  // And see what the application makes of it.
//
// All members may be used by any thread; none of them on a thread of a client. Clients should end
// before it: to those that do not, it is a node that was killed.
class Node {
 public:
  // Starts it; it accepts connections when this returns. Aborts if the system gives no socket or
  // thread: no test could go on.
  explicit Node(const NodeOptions& options = {});
  // Stops it at once, stalled or not.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Where it is, for Client::connect() and for VALKYRIE_NODE of programs under test.
  [[nodiscard]] const std::string& url() const noexcept;
  // A client of it, which logs nothing and dials again within 10 ms. Errors as Client::connect().
  // Its clock is that of the node unless ClientOptions::loop is set.
  [[nodiscard]] Result<Client> connect() const;
  // As above, with options of the test's own.
  [[nodiscard]] Result<Client> connect(ClientOptions options) const;

  // Cuts every connection without a word, as a lost network does. New ones are accepted. All are
  // cut when this returns; clients learn of it a moment later. REQUIRES: not stalled.
  void cut();
  // Stands still: reads, writes and accepts nothing, as a node that hangs. No effect if it does.
  void stall();
  // Goes on. No effect if it does.
  void resume();
  // Lets time pass at once, for the node and for the clients that connect() has given: deadlines,
  // keepalives, leases, pauses. Time goes on in steps of ten seconds, each of which they have seen
  // before the next, so that a session that lives keeps its keepalive, whatever is skipped; the
  // callbacks of clients may still run when this returns. A stalled node sees it when it goes on.
  void advance(Duration by);
  // Leaves as valkyrie-server does on TERM: tells its clients, refuses new connections, lets calls
  // and streams end for at most `grace`. Returns when it has begun. REQUIRES: not stalled.
  void drain(Duration grace = std::chrono::seconds{30});

 private:
  class Running;

  std::unique_ptr<Running> running_;
};

}  // namespace valkyrie::testing
