// A running node, called through Noise as snow speaks it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "protocol/noise/key_text.h"
#include "protocol/noise/suite.h"
#include "tests/interop/carrier.h"

namespace valkyrie::interop {
namespace {

namespace noise = protocol::noise;
using noise::Suite;
using server::testing::RunningNode;

class NodeNoise : public ::testing::TestWithParam<Suite> {
 protected:
  NodeNoise() { noise::make_key(noise::system_entropy(), ours_); }

  // A client by a suite, to whom the node's key is `known`.
  [[nodiscard]] std::unique_ptr<CarriedClient> carried(Suite suite, const std::string& known) {
    const std::vector<std::string> arguments{
        "carry", fmt::to_string(static_cast<unsigned>(suite)), noise::key_text(ours_.secret),
        noise::pattern_of(suite) == noise::Pattern::xk ? known : "-"};
    return std::make_unique<CarriedClient>(*reactor_, door(), VALKYRIE_NOISE_PEER, arguments);
  }
  // The door, to be dialed without a channel.
  [[nodiscard]] std::string door() const {
    return "valkyrie" + url_.substr(url_.find(':'), url_.find('?') - url_.find(':'));
  }
  [[nodiscard]] std::string key() const { return url_.substr(url_.find("?key=") + 5); }

  std::unique_ptr<transport::Reactor> reactor_ = std::move(transport::Reactor::create().value());
  RunningNode node_{{"--listen", "noise://127.0.0.1:0"}};
  const std::string url_ = door_of(node_, "noise");
  noise::KeyPair ours_;
};

TEST_P(NodeNoise, takes_hello_and_calls_by_hybrid_suites_alone) {
  const auto client = carried(GetParam(), key());
  if (!noise::is_hybrid(GetParam())) {
    EXPECT_FALSE(client->session.wait_ready());
    EXPECT_TRUE(node_.process.log.find("pq_required").has_value());
    return;
  }
  ASSERT_TRUE(client->session.wait_ready());
  for (const std::size_t size : {std::size_t{5}, std::size_t{100'000}}) {
    const std::string text(size, 'x');
    EXPECT_EQ(client->session.call("valkyrie.Node", "Echo", text).payload, text);
  }
}

std::string name_of(const ::testing::TestParamInfo<Suite>& suite) {
  return std::string(noise::protocol_name(suite.param));
}
INSTANTIATE_TEST_SUITE_P(Suites, NodeNoise, ::testing::ValuesIn(noise::kSuites), name_of);

class NodeNoiseKey : public NodeNoise {};

TEST_P(NodeNoiseKey, is_not_mistaken_for_another) {
  std::string other = key();
  other.back() = other.back() == '0' ? '1' : '0';
  EXPECT_FALSE(carried(GetParam(), other)->session.wait_ready());
  EXPECT_TRUE(node_.process.log.find("not_authentic").has_value());
}

INSTANTIATE_TEST_SUITE_P(Suites, NodeNoiseKey,
                         ::testing::Values(Suite::xk_mlkem_aes_gcm, Suite::xk_mlkem_chacha_poly),
                         name_of);

}  // namespace
}  // namespace valkyrie::interop
