// Uses the installed SDK as an application does: starts the installed node, serves and calls.
//
//   sdk BIN_FOLDER
#include <csignal>
#include <cstdio>
#include <future>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

#include "valkyrie/valkyrie.h"

namespace {

using valkyrie::Bytes, valkyrie::BytesView, valkyrie::Client, valkyrie::IncomingCall;
using valkyrie::Reply, valkyrie::Result, valkyrie::Task;

// A node of the installed package, stopped when this goes away.
class Node {
 public:
  explicit Node(const std::string& bin)
      : url_("unix:@valkyrie-package-test-" + std::to_string(getpid())) {
    int ends[2];
    if (pipe(ends) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      const std::string server = bin + "/valkyrie-server";
      execl(server.c_str(), server.c_str(), "--ephemeral", "--shards", "1", "--listen",
            url_.c_str(), static_cast<char*>(nullptr));
      _exit(127);
    }
    close(ends[1]);
    char line[512];
    ready_ = read(ends[0], line, sizeof line) > 0;  // It says where its doors are, once open.
    close(ends[0]);
  }
  ~Node() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] bool ready() const { return ready_; }

 private:
  std::string url_;
  pid_t pid_ = -1;
  bool ready_ = false;
};

int failures = 0;

void expect(std::string_view what, const Result<Bytes>& reply, std::string_view text) {
  if (reply && reply->text() == text) return;
  std::printf("%.*s: %s\n", static_cast<int>(what.size()), what.data(),
              reply ? std::string(reply->text()).c_str() : reply.error().to_string().c_str());
  ++failures;
}

Task<Result<Bytes>> greet(IncomingCall, Bytes name) {
  co_return "Hello, " + std::string(name.text());
}

Task<Result<void>> call_twice(Client& client, std::promise<std::string>& done) {
  std::string said;
  for (int i = 0; i < 2; ++i) {
    auto reply = co_await client.call("outside.Greeter/Coroutine", "Ada");
    said += reply ? reply->text() : reply.error().to_string();
  }
  done.set_value(said);
  co_return {};
}

void serve_and_call(Client& client) {
  valkyrie::Service greeter("outside.Greeter");
  greeter.unary("Coroutine", greet)
      .unary("Blocking",
             [](IncomingCall&, BytesView body) -> Result<Bytes> {
               return "Hello, " + std::string(body.text());
             })
      .unary("Callback", [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); });
  const auto instance = client.serve(std::move(greeter)).wait();
  if (!instance) {
    std::printf("serve: %s\n", instance.error().to_string().c_str());
    ++failures;
    return;
  }
  expect("coroutine", client.call("outside.Greeter/Coroutine", "Ada").wait(), "Hello, Ada");
  expect("blocking", client.call("outside.Greeter/Blocking", "Bob").wait(), "Hello, Bob");
  expect("callback", client.call("outside.Greeter/Callback", "Cid").wait(), "Cid");
  const auto missing = client.call("outside.Nobody/Says", "x").wait();
  if (missing || !missing.error().retry_is_safe()) {
    std::puts("a call to nobody did not fail as not executed");
    ++failures;
  }
  std::promise<std::string> done;
  client.spawn(call_twice(client, done));
  expect("co_await", Bytes::take(done.get_future().get()), "Hello, AdaHello, Ada");
  client.close();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const Node node(argv[1]);
  if (!node.ready()) {
    std::puts("the installed node did not start");
    return 1;
  }
  auto client = Client::connect(node.url());
  if (!client) {
    std::printf("connect: %s\n", client.error().to_string().c_str());
    return 1;
  }
  serve_and_call(*client);
  if (failures == 0) std::puts("sdk works");
  return failures == 0 ? 0 : 1;
}
