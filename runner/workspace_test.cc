#include "runner/workspace.h"

#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

#include "runner/work_folder.h"

namespace valkyrie::runner {
namespace {
namespace fs = std::filesystem;

class WorkspaceTest : public testing::Test {
 protected:
  WorkspaceTest() {
    std::string pattern = testing::TempDir() + "workspace-XXXXXX";
    parent = mkdtemp(pattern.data());
  }
  ~WorkspaceTest() override { fs::remove_all(parent); }

  fs::path parent;
};

TEST_F(WorkspaceTest, is_fresh_private_and_gone_after) {
  const auto workspace = Workspace::create(parent / "made" / "too", "job_1.1");
  ASSERT_TRUE(workspace.has_value()) << workspace.error();
  EXPECT_TRUE(fs::is_empty(workspace->work()));
  EXPECT_TRUE(fs::is_directory(workspace->tmp()));
  EXPECT_EQ(fs::status(workspace->work().parent_path()).permissions(), fs::perms::owner_all);
  std::ofstream(workspace->work() / "file") << "x";
  EXPECT_TRUE(workspace->remove());
  EXPECT_TRUE(fs::is_empty(parent / "made" / "too"));
}

TEST_F(WorkspaceTest, folders_without_write_permission_are_removed_too) {
  const auto workspace = Workspace::create(parent, "job_1.1");
  fs::create_directories(workspace->work() / "cache" / "module");
  std::ofstream(workspace->work() / "cache" / "module" / "file") << "x";
  fs::permissions(workspace->work() / "cache" / "module", fs::perms::owner_read);
  fs::permissions(workspace->work() / "cache", fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_TRUE(workspace->remove());
  EXPECT_TRUE(fs::is_empty(parent));
}

TEST_F(WorkspaceTest, a_name_in_use_or_an_unusable_parent_is_an_error_that_names_it) {
  ASSERT_TRUE(Workspace::create(parent, "job_1.1"));
  EXPECT_NE(Workspace::create(parent, "job_1.1").error().find("job_1.1"), std::string::npos);
  std::ofstream(parent / "file") << "x";
  EXPECT_NE(Workspace::create(parent / "file", "job").error().find("file"), std::string::npos);
}

TEST_F(WorkspaceTest, a_work_folder_has_one_holder_and_begins_without_old_workspaces) {
  ASSERT_TRUE(Workspace::create(parent, "job_old.1"));
  std::ofstream(parent / "other") << "x";
  {
    const auto held = WorkFolder::open(parent);
    ASSERT_TRUE(held.has_value()) << held.error();
    EXPECT_FALSE(fs::exists(parent / "job_old.1"));
    EXPECT_TRUE(fs::exists(parent / "other"));
    EXPECT_NE(WorkFolder::open(parent).error().find("another runner"), std::string::npos);
  }
  EXPECT_TRUE(WorkFolder::open(parent));
  EXPECT_NE(WorkFolder::open(parent / "other").error().find("--work-dir"), std::string::npos);
}

}  // namespace
}  // namespace valkyrie::runner
