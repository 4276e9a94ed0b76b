#include "server/jobs/constraint.h"

#include <gtest/gtest.h>

namespace valkyrie::jobs {
namespace {

TEST(Constraint, equality_holds_for_the_same_value_alone) {
  const auto linux = Constraint::parse("os=linux");
  ASSERT_TRUE(linux.has_value());
  EXPECT_TRUE(linux->holds({{"arch", "amd64"}, {"os", "linux"}}));
  EXPECT_FALSE(linux->holds({{"os", "linux2"}}));
  EXPECT_FALSE(linux->holds({}));
}

TEST(Constraint, of_a_repeated_label_the_last_counts) {
  const auto isolated = Constraint::parse("isolation=namespace");
  EXPECT_FALSE(isolated->holds({{"isolation", "namespace"}, {"isolation", "none"}}));
}

TEST(Constraint, blanks_around_are_not_part_of_it) {
  EXPECT_EQ(Constraint::parse(" os = linux ")->text(), "os=linux");
  EXPECT_EQ(Constraint::parse("a=b=c")->text(), "a=b=c");
}

TEST(Constraint, what_it_cannot_read_names_the_mistake) {
  EXPECT_NE(Constraint::parse("gpu").error().find("has no '='"), std::string::npos);
  for (const char* bad : {"=x", "!gpu=1", "arch in (a)=b", "a b=c"}) {
    EXPECT_NE(Constraint::parse(bad).error().find("no label name"), std::string::npos) << bad;
  }
}

}  // namespace
}  // namespace valkyrie::jobs
