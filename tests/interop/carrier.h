// A client of a node whose channel another's program speaks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"
#include "transport/reactor.h"
#include "transport/socket.h"

namespace valkyrie::interop {

// A Unix socket that listens.
class Inside {
 public:
  Inside();
  // Where to dial it.
  [[nodiscard]] const std::string& url() const { return url_; }
  // The connection that was dialed.
  [[nodiscard]] transport::Socket accept() const;

 private:
  std::string url_;
  transport::Socket listener_;
};

// The client: a session of ours, whose bytes go to the program, and from there to the node, in a
// channel of the program's making.
class CarriedClient {
 public:
  // Starts the program, with the connection to the door at `node_url` as its standard input and the
  // session's as its standard output.
  CarriedClient(transport::Reactor& reactor, std::string_view node_url, const std::string& program,
                const std::vector<std::string>& arguments);

 private:
  Inside inside_;

 public:
  server::testing::TestClient session;
  server::testing::Process program;
};

// The door of this scheme among those that a node has printed; empty if there is none.
[[nodiscard]] std::string door_of(const server::testing::RunningNode& node,
                                  std::string_view scheme);

}  // namespace valkyrie::interop
