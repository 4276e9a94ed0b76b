#include "tools/valkyrie/certificate_wish.h"

#include <gtest/gtest.h>

namespace valkyrie::tools {
namespace {

std::string error_of(std::string_view text) {
  const auto wish = parse_certificate_wish(text, "a.example");
  return wish ? "" : wish.error();
}

TEST(CertificateWish, of_a_client_has_the_id_of_its_role_and_name) {
  const auto wish = parse_certificate_wish("client:ada", "a.example");
  ASSERT_TRUE(wish.has_value()) << wish.error();
  EXPECT_EQ(*wish, (CertificateWish{.name = "ada",
                                    .usage = "clientAuth",
                                    .names = "URI:spiffe://a.example/client/ada",
                                    .spiffe = "spiffe://a.example/client/ada"}));
}

TEST(CertificateWish, of_a_server_without_hosts_is_for_its_name) {
  const auto wish = parse_certificate_wish("server:node", "a.example");
  ASSERT_TRUE(wish.has_value()) << wish.error();
  EXPECT_EQ(wish->names, "DNS:node,URI:spiffe://a.example/server/node");
  EXPECT_EQ(wish->usage, "serverAuth");
}

TEST(CertificateWish, tells_hosts_addresses_uris_and_mail_apart) {
  const auto wish = parse_certificate_wish(
      "peer:n=localhost,*.a.example,127.0.0.1,::1,ops@a.example,https://a.example/x", "t");
  ASSERT_TRUE(wish.has_value()) << wish.error();
  EXPECT_EQ(wish->names,
            "DNS:localhost,DNS:*.a.example,IP:127.0.0.1,IP:::1,email:ops@a.example,"
            "URI:https://a.example/x,URI:spiffe://t/peer/n");
  EXPECT_EQ(wish->usage, "serverAuth,clientAuth");
}

TEST(CertificateWish, keeps_the_one_id_that_is_given) {
  const auto wish = parse_certificate_wish("runner:r=spiffe://other/x", "a.example");
  ASSERT_TRUE(wish.has_value()) << wish.error();
  EXPECT_EQ(wish->spiffe, "spiffe://other/x");
  EXPECT_EQ(wish->names, "URI:spiffe://other/x");
  EXPECT_NE(error_of("runner:r=spiffe://a/x,spiffe://a/y"), "");
}

TEST(CertificateWish, that_is_none_is_refused_with_what_to_write) {
  EXPECT_NE(error_of("ada").find("write server:NAME"), std::string::npos);
  for (const char* text : {"", ":", "client:", "client:.hidden", "client:a/b", "client:-a",
                           "boss:ada", "server:a=", "server:a=b,", "server:a=b c", "server:a=@b",
                           "server:a=b\"", "server:a=://b", "server:a=email:copy", "client:a\n"}) {
    EXPECT_NE(error_of(text), "") << text;
  }
  EXPECT_EQ(error_of("client:" + std::string(kWishNameBytesMax, 'a')), "");
  EXPECT_NE(error_of("client:" + std::string(kWishNameBytesMax + 1, 'a')), "");
}

TEST(CertificateWish, trust_domain_is_what_ids_can_have) {
  for (const char* good : {"a", "a.example", "my-domain_1.test"})
    EXPECT_TRUE(is_trust_domain(good));
  for (const char* bad : {"", "A.example", "a b", "a/b", "a:1"}) EXPECT_FALSE(is_trust_domain(bad));
}

}  // namespace
}  // namespace valkyrie::tools
