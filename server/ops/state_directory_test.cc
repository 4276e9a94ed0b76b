#include "server/ops/state_directory.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/ops/testing/server_process.h"

namespace valkyrie::server {
namespace {

using testing::ScratchDirectory;

std::uint64_t always_7f3a() { return 0x7f3a; }

TEST(StateDirectory, keeps_the_id_and_counts_the_starts) {
  const ScratchDirectory scratch;
  const std::string directory = scratch.path() + "/made/on/the/way";
  for (std::uint32_t starts = 1; starts <= 3; ++starts) {
    const auto state = open_state(directory, always_7f3a);
    ASSERT_TRUE(state.has_value()) << state.error();
    EXPECT_EQ(state->id, "n-00007f3a");
    EXPECT_EQ(state->starts, starts);
  }
}

TEST(StateDirectory, is_for_one_node_at_a_time) {
  const ScratchDirectory scratch;
  auto first = open_state(scratch.path(), always_7f3a);
  ASSERT_TRUE(first.has_value());
  const auto second = open_state(scratch.path(), always_7f3a);
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().find("another node that runs uses it"), std::string::npos);
  EXPECT_NE(second.error().find("--state DIR"), std::string::npos) << "it says what to do next";
  first->lock.close();
  EXPECT_TRUE(open_state(scratch.path(), always_7f3a).has_value());
}

TEST(StateDirectory, refuses_a_damaged_file_and_leaves_it_as_it_is) {
  for (const char* text :
       {"garbage", "valkyrie-node 1\nn-00007f3a\n", "valkyrie-node 1\nn-xyz\n1\n",
        "valkyrie-node 1\nn-00007f3a\n1x\n", "valkyrie-node 2\nn-00007f3a\n1\n"}) {
    const ScratchDirectory scratch;
    const std::string path = scratch.path() + "/node";
    std::ofstream(path) << text;
    const auto state = open_state(scratch.path(), always_7f3a);
    ASSERT_FALSE(state.has_value()) << text;
    EXPECT_NE(state.error().find(path), std::string::npos) << state.error();
    std::ifstream file(path);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text);
  }
}

TEST(StateDirectory, names_what_is_in_the_way) {
  const ScratchDirectory scratch;
  std::ofstream(scratch.path() + "/file") << "x";
  const auto state = open_state(scratch.path() + "/file/inside", always_7f3a);
  ASSERT_FALSE(state.has_value());
  EXPECT_NE(state.error().find("file/inside"), std::string::npos);
}

TEST(SecureDirectory, makes_it_and_takes_it_again) {
  const ScratchDirectory scratch;
  const std::string directory = scratch.path() + "/mine";
  ASSERT_TRUE(secure_directory(directory).has_value());
  ASSERT_TRUE(secure_directory(directory).has_value());
  struct stat status{};
  ASSERT_EQ(::stat(directory.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
}

TEST(SecureDirectory, refuses_what_others_can_reach_into) {
  const ScratchDirectory scratch;
  const std::string open = scratch.path() + "/open";
  std::filesystem::create_directory(open);
  ASSERT_EQ(::chmod(open.c_str(), 0770), 0);
  EXPECT_FALSE(secure_directory(open).has_value());
  const std::string link = scratch.path() + "/link";
  ASSERT_EQ(::symlink(scratch.path().c_str(), link.c_str()), 0);
  EXPECT_FALSE(secure_directory(link).has_value()) << "a link may point anywhere, later";
  std::ofstream(scratch.path() + "/file") << "x";
  EXPECT_FALSE(secure_directory(scratch.path() + "/file").has_value());
  EXPECT_FALSE(secure_directory(scratch.path() + "/missing/parent").has_value());
}

}  // namespace
}  // namespace valkyrie::server
