#include "transport/text_file.h"

#include <cstdlib>
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

}  // namespace
}  // namespace valkyrie::transport
