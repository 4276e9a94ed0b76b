// Certificates that are not good, each shown by either side; and texts that hold none.
#include <gtest/gtest.h>
#include <ostream>
#include <string>

#include "protocol/tls/testing/pair.h"

namespace valkyrie::protocol::tls {
namespace {

using testing::Authority;
using testing::client_wish;
using testing::kDay;
using testing::kNow;
using testing::node_wish;
using testing::Pair;
using testing::Wish;
using testing::World;

struct Case {
  const char* name;
  ChannelError error;
  // Spoils the credentials that are shown, or the trust of who looks at them.
  void (*spoil)(World&, const Wish&, Credentials& shown, std::string& revoked);
};

std::ostream& operator<<(std::ostream& out, const Case& each) { return out << each.name; }

void set_revoked(World& world, std::string& revoked, std::int64_t issued, std::int64_t next) {
  revoked = world.authority.revoke({}, issued, next);
}

const Case kCases[] = {
    {"expired", ChannelError::expired,
     [](World& world, const Wish& wish, Credentials& shown, std::string&) {
       Wish past = wish;
       past.not_after = kNow;
       shown = world.authority.issue(past);
     }},
    {"not_yet_valid", ChannelError::not_yet_valid,
     [](World& world, const Wish& wish, Credentials& shown, std::string&) {
       Wish future = wish;
       future.not_before = kNow + 1;
       shown = world.authority.issue(future);
     }},
    {"self_signed", ChannelError::untrusted,
     [](World&, const Wish& wish, Credentials& shown, std::string&) {
       shown = Authority::self_signed(wish);
     }},
    {"of_another_authority", ChannelError::untrusted,
     [](World&, const Wish& wish, Credentials& shown, std::string&) {
       shown = Authority("other").issue(wish);
     }},
    {"of_an_authority_with_the_same_name", ChannelError::untrusted,
     [](World&, const Wish& wish, Credentials& shown, std::string&) {
       shown = Authority("root").issue(wish);
     }},
    {"signed_by_a_peer", ChannelError::untrusted,
     [](World& world, const Wish& wish, Credentials& shown, std::string&) {
       shown = world.authority.issue_below_a_leaf(wish);
     }},
    {"revoked", ChannelError::revoked,
     [](World& world, const Wish& wish, Credentials&, std::string& revoked) {
       revoked = world.authority.revoke({7, wish.serial});
     }},
    {"behind_a_revoked_authority", ChannelError::revoked,
     [](World& world, const Wish& wish, Credentials& shown, std::string& revoked) {
       const auto between = world.authority.issue_authority("between");
       shown = between->issue(wish);
       shown.certificate += between->root();
       revoked = world.authority.revoke({100}) + between->revoke({});
     }},
    {"of_an_old_list", ChannelError::revocation_unknown,
     [](World& world, const Wish&, Credentials&, std::string& revoked) {
       set_revoked(world, revoked, kNow - 2 * kDay, kNow - kDay);
     }},
    {"of_a_list_to_come", ChannelError::revocation_unknown,
     [](World& world, const Wish&, Credentials&, std::string& revoked) {
       set_revoked(world, revoked, kNow + kDay, kNow + 2 * kDay);
     }},
    {"of_no_list", ChannelError::revocation_unknown,
     [](World&, const Wish&, Credentials&, std::string& revoked) {
       revoked = Authority("other").revoke({});
     }},
    {"of_a_forged_list", ChannelError::revocation_unknown,
     [](World&, const Wish&, Credentials&, std::string& revoked) {
       revoked = Authority("root").revoke({});
     }},
    {"for_another_purpose", ChannelError::wrong_purpose,
     [](World& world, const Wish& wish, Credentials& shown, std::string&) {
       Wish other = wish;
       other.usage = wish.usage == "serverAuth" ? "clientAuth" : "serverAuth";
       shown = world.authority.issue(other);
     }},
};

class BadCertificate : public ::testing::TestWithParam<Case> {};

TEST_P(BadCertificate, of_a_node_opens_nothing_to_its_client) {
  World world;
  GetParam().spoil(world, node_wish(), world.node.own, world.client.revoked);
  Pair pair = world.dial();
  pair.carry();
  EXPECT_EQ(pair.dialer.error, GetParam().error);
  EXPECT_TRUE(pair.acceptor.error.has_value()) << "the node is told";
  EXPECT_FALSE(pair.acceptor.channel->open());
}

TEST_P(BadCertificate, of_a_client_opens_nothing_at_the_node) {
  World world;
  GetParam().spoil(world, client_wish(), world.client.own, world.node.revoked);
  Pair pair = world.dial();
  pair.carry();
  EXPECT_EQ(pair.acceptor.error, GetParam().error);
  EXPECT_TRUE(pair.dialer.error.has_value()) << "the client is told";
}

INSTANTIATE_TEST_SUITE_P(Each, BadCertificate, ::testing::ValuesIn(kCases),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(TlsCertificate, a_list_that_names_others_changes_nothing) {
  World world;
  world.node.revoked = world.client.revoked = world.authority.revoke({77});
  Pair pair = world.dial();
  pair.carry();
  EXPECT_TRUE(pair.open());
}

TEST(TlsCertificate, is_valid_from_its_first_second_to_before_its_last) {
  World world;
  world.make();
  for (const std::int64_t now : {kNow - kDay, kNow + kDay - 1}) {
    world.now = now;
    Pair pair = world.dial();
    pair.carry();
    EXPECT_TRUE(pair.open()) << now;
  }
  world.now = kNow - kDay - 1;
  Pair early = world.dial();
  early.carry();
  EXPECT_EQ(early.dialer.error, ChannelError::not_yet_valid);
  world.now = kNow + kDay;
  Pair late = world.dial();
  late.carry();
  EXPECT_EQ(late.dialer.error, ChannelError::expired);
}

TEST(TlsCertificate, without_a_name_is_nobodys) {
  World world;
  Wish nameless = client_wish();
  nameless.common_name = "";
  nameless.names = "";
  world.client.own = world.authority.issue(nameless);
  Pair pair = world.dial();
  pair.carry();
  EXPECT_EQ(pair.acceptor.error, ChannelError::wrong_name);
  EXPECT_EQ(pair.dialer.error, ChannelError::untrusted);
}

TEST(TlsConfig, says_which_text_is_unusable_and_quotes_none) {
  World world;
  const Credentials good = world.node.own;
  const Credentials other = world.authority.issue(node_wish());
  const auto error_with = [&](const Credentials& own, const std::string& roots,
                              const std::string& revoked) {
    AcceptorConfig config = world.node;
    config.own = own;
    config.client_roots = roots;
    config.revoked = revoked;
    const auto made = Acceptor::make(config);
    return made ? std::string() : made.error();
  };
  const std::string& root = world.authority.root();
  EXPECT_EQ(error_with(good, root, ""), "");
  EXPECT_EQ(error_with({"garbage", good.key}, root, ""),
            "the certificate: it holds no certificate in PEM form");
  EXPECT_EQ(error_with({good.certificate, "garbage"}, root, ""),
            "the key: it holds no private key in PEM form that needs no password");
  EXPECT_EQ(error_with({good.certificate, other.key}, root, ""),
            "the key: it does not belong to the certificate");
  EXPECT_EQ(error_with(good, "", ""), "the authorities: it holds no certificate in PEM form");
  EXPECT_EQ(error_with(good, root, root),
            "the revocation list: it holds no revocation list in PEM form");
  std::string damaged = root;
  damaged.erase(damaged.size() / 2, 4);
  EXPECT_NE(error_with(good, damaged, ""), "");
  EXPECT_EQ(
      error_with({good.certificate.substr(0, good.certificate.size() / 2), good.key}, root, ""),
      "the certificate: a certificate in it is damaged");
}

TEST(TlsConfig, every_cut_of_a_file_is_an_error_or_changes_nothing) {
  World world;
  const Credentials good = world.node.own;
  for (std::size_t size = 0; size < good.key.size(); ++size) {
    AcceptorConfig config = world.node;
    config.own.key.resize(size);
    const auto made = Acceptor::make(config);
    // The last line may lack its end.
    EXPECT_TRUE(!made.has_value() || size + 2 > good.key.size()) << size;
  }
}

// A wish for a certificate with so many bytes of names.
Wish with_names(Wish wish, std::size_t bytes) {
  constexpr std::string_view kName = "one.of.many.names.example";
  wish.names = "URI:spiffe://valkyrie.test/client,DNS:localhost";
  for (std::size_t size = 0; size < bytes; size += kName.size() + 2) {
    wish.names += ",DNS:" + std::string(kName);
  }
  return wish;
}

// Before a peer is known it shall not make the other side keep much.
TEST(TlsCertificate, that_needs_a_message_over_16_kib_is_refused_by_either_side) {
  for (const bool acceptor_looks : {true, false}) {
    for (const std::size_t bytes : {std::size_t{15} << 10, std::size_t{16} << 10}) {
      World world;
      const Wish wish = with_names(acceptor_looks ? client_wish() : node_wish(), bytes);
      (acceptor_looks ? world.client.own : world.node.own) = world.authority.issue(wish);
      Pair pair = world.dial();
      pair.carry();
      const auto error = (acceptor_looks ? pair.acceptor : pair.dialer).error;
      EXPECT_EQ(error.value_or(ChannelError::none),
                bytes < (16 << 10) ? ChannelError::none : ChannelError::bad_length);
    }
  }
}

}  // namespace
}  // namespace valkyrie::protocol::tls
