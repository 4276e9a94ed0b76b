#include "transport/text_file.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace valkyrie::transport {
namespace {

class TextFile : public ::testing::Test {
 protected:
  TextFile() {
    std::string name = "/tmp/valkyrie-text-file-XXXXXX";
    const int fd = ::mkstemp(name.data());
    EXPECT_GE(fd, 0);
    ::close(fd);
    path_ = name;
  }
  ~TextFile() override { ::unlink(path_.c_str()); }

  void write(const std::string& text) const { std::ofstream(path_) << text; }

  std::string path_;
};

TEST_F(TextFile, is_read_whole) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{100'000}, kTextFileBytesMax}) {
    const std::string text(size, 'x');
    write(text);
    EXPECT_TRUE(read_text_file(path_) == text) << size;
  }
}

TEST_F(TextFile, longer_than_any_of_its_kind_is_refused) {
  write(std::string(kTextFileBytesMax + 1, 'x'));
  const auto read = read_text_file(path_);
  ASSERT_FALSE(read.has_value());
  EXPECT_NE(read.error().find("longer than"), std::string::npos) << read.error();
}

TEST_F(TextFile, that_is_missing_is_named) {
  const auto read = read_secret_file("/nowhere/at-all");
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error(), "/nowhere/at-all: No such file or directory");
}

TEST_F(TextFile, of_a_secret_is_closed_to_others) {
  write("secret");
  for (const mode_t good : {0400U, 0600U, 0640U}) {
    ASSERT_EQ(::chmod(path_.c_str(), good), 0);
    EXPECT_EQ(read_secret_file(path_), "secret") << good;
  }
  for (const mode_t wide : {0604U, 0602U, 0601U, 0620U, 0610U}) {
    ASSERT_EQ(::chmod(path_.c_str(), wide), 0);
    EXPECT_FALSE(read_secret_file(path_).has_value()) << wide;
    EXPECT_TRUE(read_text_file(path_).has_value()) << wide;
  }
}

mode_t mode_of(const std::string& path) {
  struct stat status{};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 0777U;
}

TEST_F(TextFile, written_is_for_its_owner_or_for_all_to_read) {
  ASSERT_TRUE(write_text_file(path_, "secret", FileAccess::owner, Existing::replaced));
  EXPECT_EQ(read_secret_file(path_), "secret");
  EXPECT_EQ(mode_of(path_), 0600U);
  ASSERT_TRUE(write_text_file(path_, "public", FileAccess::anyone, Existing::replaced));
  EXPECT_EQ(read_text_file(path_), "public");
  EXPECT_EQ(mode_of(path_), 0644U);
}

TEST_F(TextFile, to_be_kept_is_not_replaced) {
  write("old");
  const auto written = write_text_file(path_, "new", FileAccess::owner, Existing::kept);
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error(), path_ + ": File exists");
  EXPECT_EQ(read_text_file(path_), "old");
  ::unlink(path_.c_str());
  EXPECT_TRUE(write_text_file(path_, "new", FileAccess::owner, Existing::kept));
  EXPECT_EQ(read_text_file(path_), "new");
}

TEST_F(TextFile, that_cannot_be_written_leaves_nothing_behind) {
  const std::string folder = path_ + ".d";
  ASSERT_EQ(::mkdir(folder.c_str(), 0700), 0);
  EXPECT_FALSE(write_text_file(folder, "text", FileAccess::owner, Existing::replaced));
  EXPECT_FALSE(write_text_file(folder + "/no/file", "text", FileAccess::owner, Existing::kept));
  // Nothing is in it, and nothing of a failed one is beside it.
  EXPECT_EQ(::rmdir(folder.c_str()), 0);
  const std::string name = std::filesystem::path(folder).filename().string();
  for (const auto& entry : std::filesystem::directory_iterator("/tmp")) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(name)) << entry.path();
  }
}

}  // namespace
}  // namespace valkyrie::transport
