// A running node, called through TLS stacks of others with certificates on both sides.
#include <ctime>
#include <fstream>
#include <gtest/gtest.h>
#include <ostream>
#include <sys/stat.h>

#include "protocol/tls/testing/authority.h"
#include "tests/interop/carrier.h"

namespace valkyrie::interop {
namespace {

namespace tls = protocol::tls;
using server::testing::RunningNode;
using tls::testing::Authority;
using tls::testing::kDay;
using tls::testing::Wish;

struct Peer {
  const char* name;
  const char* program;
};
std::ostream& operator<<(std::ostream& out, const Peer& peer) { return out << peer.name; }

const Peer kPeers[] = {
#ifdef VALKYRIE_TLS_PEER
    {"go", VALKYRIE_TLS_PEER},
#endif
    {"rustls", VALKYRIE_RUSTLS_PEER},
};

// The peers read the clock of the system.
Wish now(Wish wish) {
  const std::int64_t time = std::time(nullptr);
  wish.not_before = time - kDay;
  wish.not_after = time + kDay;
  return wish;
}

class NodeTls : public ::testing::TestWithParam<Peer> {
 protected:
  NodeTls() {
    write("ca", authority_.root());
    write_pair("node", authority_.issue(now(tls::testing::node_wish())));
    write_pair("client", authority_.issue(now(tls::testing::client_wish())));
  }

  [[nodiscard]] std::string file(const std::string& name) const {
    return scratch_.path() + "/" + name;
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name)) << text;
    ASSERT_EQ(::chmod(file(name).c_str(), 0600), 0);
  }
  void write_pair(const std::string& name, const tls::Credentials& credentials) const {
    write(name + ".crt", credentials.certificate);
    write(name + ".key", credentials.key);
  }
  // The command line of a node that demands certificates.
  [[nodiscard]] std::vector<std::string> node_arguments(const std::string& require_pq) const {
    return {
        "--listen", "tls://127.0.0.1:0",           "--set", "tls.certificate=" + file("node.crt"),
        "--set",    "tls.key=" + file("node.key"), "--set", "tls.client_ca=" + file("ca"),
        "--set",    "tls.require_pq=" + require_pq};
  }
  // A client of that node, by the peer and with the client's files.
  [[nodiscard]] std::unique_ptr<CarriedClient> carried(const RunningNode& node, const Peer& peer,
                                                       const std::string& exchange) {
    const std::vector<std::string> arguments{"carrier", file("ca"), file("client.crt"),
                                             file("client.key"), exchange};
    // The certificates are for this name.
    std::string url = door_of(node, "tls");
    return std::make_unique<CarriedClient>(*reactor_, "valkyrie" + url.substr(url.find(':')),
                                           peer.program, arguments);
  }
  // Whom the node does not let in, and the reason that it logs.
  void refused(RunningNode& node, const std::string& exchange, std::string_view reason) {
    const auto client = carried(node, GetParam(), exchange);
    EXPECT_FALSE(client->session.wait_ready()) << reason;
    EXPECT_TRUE(node.process.log.find(reason).has_value()) << reason;
  }

  const std::int64_t time_ = std::time(nullptr);
  server::testing::ScratchDirectory scratch_;
  Authority authority_{"root", time_ - 10 * kDay, time_ + 10 * kDay};
  std::unique_ptr<transport::Reactor> reactor_ = std::move(transport::Reactor::create().value());
};

TEST_P(NodeTls, takes_hello_and_calls_by_the_hybrid_exchange) {
  RunningNode node(node_arguments("true"));
  const auto client = carried(node, GetParam(), "hybrid");
  ASSERT_TRUE(client->session.wait_ready());
  const std::string how = client->program.log.next().value_or("");
  EXPECT_TRUE(how.starts_with("TLS 1.3 X25519MLKEM768 valkyrie/2")) << how;
  // Shorter than a record, and longer.
  for (const std::size_t size : {std::size_t{5}, std::size_t{100'000}}) {
    const std::string text(size, 'x');
    EXPECT_EQ(client->session.call("valkyrie.Node", "Echo", text).payload, text);
  }
}

TEST_P(NodeTls, carries_calls_between_a_service_and_a_caller_by_another_stack) {
  RunningNode node(node_arguments("true"));
  const auto service = carried(node, kPeers[0], "hybrid");
  ASSERT_TRUE(service->session.wait_ready());
  ASSERT_TRUE(service->session.serve("test.Service"));
  const auto caller = carried(node, GetParam(), "hybrid");
  ASSERT_TRUE(caller->session.wait_ready());
  caller->session.start_call("test.Service", "Run", "question");
  ASSERT_TRUE(service->session.turn_until([&] { return !service->session.requests.empty(); }));
  EXPECT_EQ(service->session.requests.front().payload, "question");
  service->session.answer("answer");
  ASSERT_TRUE(caller->session.turn_until([&] { return !caller->session.answers.empty(); }));
  EXPECT_EQ(caller->session.answers.front().payload, "answer");
}

TEST_P(NodeTls, takes_who_is_classical_unless_that_is_forbidden) {
  RunningNode lenient(node_arguments("false"));
  const auto client = carried(lenient, GetParam(), "classical");
  ASSERT_TRUE(client->session.wait_ready());
  const std::string how = client->program.log.next().value_or("");
  EXPECT_TRUE(how.starts_with("TLS 1.3 X25519 valkyrie/2")) << how;
  EXPECT_EQ(client->session.call("valkyrie.Node", "Echo", "hello").payload, "hello");
  RunningNode strict(node_arguments("true"));
  refused(strict, "classical", "pq_required");
}

TEST_P(NodeTls, takes_a_role_that_requires_it_only_by_the_hybrid_exchange) {
  write("policy",
        "provider certificates certificate\nrole operator\n  require_pq\n  allow *\n"
        "bind certificate subject * operator\n");
  std::vector<std::string> arguments = node_arguments("false");
  arguments.insert(arguments.end(), {"--security", file("policy")});
  RunningNode node(arguments);
  const auto hybrid = carried(node, GetParam(), "hybrid");
  ASSERT_TRUE(hybrid->session.wait_ready());
  EXPECT_EQ(hybrid->session.call("valkyrie.Node", "Echo", "x").payload, "x");
  const auto classical = carried(node, GetParam(), "classical");
  const auto reason = classical->session.wait_closed();
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->code, protocol::CloseCode::pq_required);
}

TEST_P(NodeTls, refuses_certificates_that_nobody_it_trusts_made_for_clients) {
  const Authority stranger{"root", time_ - 10 * kDay, time_ + 10 * kDay};
  Wish expired = now(tls::testing::client_wish());
  expired.not_after = expired.not_before + 1;
  Wish server = now(tls::testing::client_wish());
  server.usage = "serverAuth";
  const std::pair<tls::Credentials, std::string_view> cases[] = {
      {stranger.issue(now(tls::testing::client_wish())), "untrusted"},
      {Authority::self_signed(now(tls::testing::client_wish())), "untrusted"},
      {authority_.issue(expired), "expired"},
      {authority_.issue(server), "wrong_purpose"},
  };
  for (const auto& [credentials, reason] : cases) {
    // One node for each: of one address it logs a refusal once in a while.
    RunningNode node(node_arguments("true"));
    write_pair("client", credentials);
    refused(node, "hybrid", reason);
  }
}

INSTANTIATE_TEST_SUITE_P(Peers, NodeTls, ::testing::ValuesIn(kPeers),
                         [](const auto& peer) { return std::string(peer.param.name); });

}  // namespace
}  // namespace valkyrie::interop
