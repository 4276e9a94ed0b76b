#include "server/registry/names.h"

#include <gtest/gtest.h>
#include <string>

namespace valkyrie::registry {
namespace {

TEST(Names, a_target_is_cut_at_the_first_at_sign) {
  EXPECT_EQ(parse_target("hello.Greeter").name, "hello.Greeter");
  EXPECT_EQ(parse_target("hello.Greeter").version, "");
  EXPECT_EQ(parse_target("hello.Greeter@1.2").name, "hello.Greeter");
  EXPECT_EQ(parse_target("hello.Greeter@1.2").version, "1.2");
  EXPECT_EQ(parse_target("a@b@c").version, "b@c");
}

TEST(Names, service_and_method_names_are_dotted_tokens) {
  for (const char* good : {"a", "hello.Greeter", "a-b_c.D9"}) {
    EXPECT_TRUE(valid_service_name(good)) << good;
    EXPECT_TRUE(valid_method_name(good)) << good;
  }
  for (const char* bad : {"", ".a", "a.", "a..b", "a b", "a/b", "a@1", "\xc3\xa4"}) {
    EXPECT_FALSE(valid_service_name(bad)) << bad;
    EXPECT_FALSE(valid_method_name(bad)) << bad;
  }
}

TEST(Names, the_longest_name_has_256_bytes) {
  EXPECT_TRUE(valid_service_name(std::string(256, 'a')));
  EXPECT_FALSE(valid_service_name(std::string(257, 'a')));
  EXPECT_TRUE(valid_instance_name(std::string(256, 'a')));
  EXPECT_FALSE(valid_instance_name(std::string(257, 'a')));
}

TEST(Names, versions_and_instances_have_their_own_punctuation) {
  EXPECT_TRUE(valid_version("1.2.3-rc.1+build"));
  EXPECT_FALSE(valid_version("1/2"));
  EXPECT_TRUE(valid_instance_name("host:22091/greeter@1"));
  EXPECT_FALSE(valid_instance_name("a b"));
}

TEST(Names, only_the_nodes_own_tree_is_reserved) {
  EXPECT_TRUE(reserved("valkyrie"));
  EXPECT_TRUE(reserved("valkyrie.Jobs"));
  EXPECT_FALSE(reserved("valkyries.Jobs"));
  EXPECT_FALSE(reserved("hello.valkyrie"));
}

}  // namespace
}  // namespace valkyrie::registry
