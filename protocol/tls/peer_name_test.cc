#include "protocol/tls/peer_name.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "protocol/tls/testing/authority.h"

namespace valkyrie::protocol::tls {
namespace {

using testing::Authority;

// The name in a certificate with this common name and these alternative names.
std::string name_of(const std::string& common_name, const std::string& names) {
  static const Authority authority("root");
  const auto bytes =
      testing::der_of(authority.issue({.common_name = common_name, .names = names}).certificate);
  return peer_name(bytes).value_or("nobody");
}

TEST(TlsPeerName, a_spiffe_id_comes_before_all_others) {
  EXPECT_EQ(name_of("common", "DNS:a.example,email:x@y.example,URI:spiffe://trust.example/a/b"),
            "spiffe://trust.example/a/b");
  EXPECT_EQ(name_of("common", "email:x@y.example,DNS:a.example,DNS:b.example"), "dns:a.example");
  EXPECT_EQ(name_of("common", "URI:https://a.example/,email:x@y.example"), "email:x@y.example");
  EXPECT_EQ(name_of("common", "IP:127.0.0.1"), "cn:common");
  EXPECT_EQ(name_of("Ann of Arc", ""), "cn:Ann of Arc");
}

TEST(TlsPeerName, two_spiffe_ids_or_a_bad_one_are_nobodys) {
  for (const char* names :
       {"URI:spiffe://a.example/x,URI:spiffe://a.example/y", "URI:spiffe://,DNS:a.example",
        "URI:spiffe:///x,DNS:a.example", "URI:spiffe://a.example/,DNS:a.example",
        "URI:spiffe://a.example/x?y,DNS:a.example", "URI:spiffe://a.example/x#y",
        "URI:spiffe://user@a.example/x", "URI:spiffe://a.example:1/x", "URI:spiffe://a.example/%41",
        "URI:spiffe://a.example/x y", "URI:spiffe://a.example",
        // Whoever compares beginnings would take these for what is elsewhere.
        "URI:spiffe://a.example/x/../y", "URI:spiffe://a.example/./x", "URI:spiffe://a.example/..",
        "URI:spiffe://a.example/x//y", "URI:spiffe://A.example/x", "URI:spiffe://a.example/*",
        "URI:spiffe://a.example/x\\y"}) {
    EXPECT_EQ(name_of("common", names), "nobody") << names;
  }
}

TEST(TlsPeerName, what_could_be_taken_for_another_is_passed_over) {
  EXPECT_EQ(name_of("a\nb", ""), "nobody");
  EXPECT_EQ(name_of(" a", ""), "nobody");
  EXPECT_EQ(name_of("a ", ""), "nobody");
  EXPECT_EQ(name_of("caf\xc3\xa9", ""), "nobody");
  EXPECT_EQ(name_of("", ""), "nobody");
}

TEST(TlsPeerName, is_as_long_as_an_identity_can_hold) {
  const std::string prefix = "spiffe://a/";
  const auto id = [&](std::size_t size) { return prefix + std::string(size - prefix.size(), 'x'); };
  EXPECT_EQ(name_of("", "URI:" + id(kNameBytesMax)), id(kNameBytesMax));
  EXPECT_EQ(name_of("", "URI:" + id(kNameBytesMax + 1)), "nobody");
}

TEST(TlsPeerName, of_bytes_that_are_no_certificate_is_nobodys) {
  const Authority authority("root");
  std::vector<std::byte> bytes = testing::der_of(authority.root());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(peer_name(std::span(bytes).first(size)), std::nullopt) << size;
  }
  EXPECT_EQ(peer_name(bytes), "cn:root");
}

}  // namespace
}  // namespace valkyrie::protocol::tls
