#include "server/ops/audit_log.h"

#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <spdlog/sinks/ostream_sink.h>
#include <sstream>
#include <sys/stat.h>

#include "server/ops/testing/server_process.h"
#include "server/policy/audit_verifier.h"

namespace valkyrie::server {
namespace {

namespace crypto = protocol::crypto;

// A disk that is in memory, has so much room, and fails when told.
struct Disk {
  std::map<std::uint64_t, std::string> files;
  std::size_t room = SIZE_MAX;  // Bytes that may still be appended.
  bool truncates = true;
  bool syncs = true;
  bool opens = true;
  std::size_t synced = 0;  // Calls.
};

std::error_code full() { return std::make_error_code(std::errc::no_space_on_device); }
std::error_code broken() { return std::make_error_code(std::errc::io_error); }

class MemoryFile final : public AuditFile {
 public:
  MemoryFile(Disk& disk, std::uint64_t number) : disk_(disk), number_(number) {}
  std::error_code append(std::string_view bytes) override {
    const std::size_t taken = std::min(disk_.room, bytes.size());
    if (disk_.room != SIZE_MAX) disk_.room -= taken;
    disk_.files[number_] += bytes.substr(0, taken);
    return taken == bytes.size() ? std::error_code() : full();
  }
  std::error_code truncate(std::uint64_t size) override {
    if (!disk_.truncates) return broken();
    disk_.files[number_].resize(size);
    return {};
  }
  std::error_code sync() override {
    ++disk_.synced;
    return disk_.syncs ? std::error_code() : broken();
  }

 private:
  Disk& disk_;
  const std::uint64_t number_;
};

class MemoryDirectory final : public AuditDirectory {
 public:
  explicit MemoryDirectory(Disk& disk) : disk_(disk) {}
  std::expected<std::vector<std::uint64_t>, std::error_code> list() override {
    std::vector<std::uint64_t> numbers;
    for (const auto& [number, text] : disk_.files) numbers.push_back(number);
    return numbers;
  }
  std::expected<std::string, std::error_code> read(std::uint64_t file) override {
    return disk_.files.at(file);
  }
  std::expected<std::shared_ptr<AuditFile>, std::error_code> open(std::uint64_t file) override {
    if (!disk_.opens) return std::unexpected(broken());
    disk_.files[file];
    return std::make_shared<MemoryFile>(disk_, file);
  }
  std::string path(std::uint64_t file) const override { return fmt::format("file-{}", file); }

 private:
  Disk& disk_;
};

class AuditLogTest : public ::testing::Test {
 protected:
  AuditLogTest() { seed_.bytes()[0] = std::byte{7}; }

  std::expected<std::unique_ptr<AuditLog>, std::string> open() {
    return AuditLog::open(std::make_unique<MemoryDirectory>(disk_),
                          {.settings = settings_,
                           .node = "n-00000001",
                           .seed = seed_,
                           .unix_ms = [] { return std::uint64_t{1'795'484'705'123}; }},
                          log_);
  }
  // What a verifier of all files says.
  policy::AuditReport verify(bool complete = true) const {
    policy::AuditVerifier verifier({.keys = {crypto::ed25519_key(seed_)}, .complete = complete});
    for (const auto& [number, text] : disk_.files) {
      verifier.begin_file(fmt::format("file-{}", number));
      std::string_view rest = text;
      while (!rest.empty()) {
        const std::size_t end = rest.find('\n');
        verifier.on_line(rest.substr(0, end), end != std::string_view::npos);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      }
    }
    return verifier.finish();
  }
  void expect_whole(bool complete = true) const {
    for (const auto& found : verify(complete).findings) ADD_FAILURE() << found.text;
  }
  bool write(AuditLog& log, std::string_view what) {
    return log.write({.action = "test", .what = what});
  }
  [[nodiscard]] bool holds(std::string_view text) const {
    for (const auto& [number, whole] : disk_.files) {
      if (whole.find(text) != std::string::npos) return true;
    }
    return false;
  }

  Disk disk_;
  AuditSettings settings_;
  crypto::Ed25519Seed seed_;
  std::ostringstream said_;
  spdlog::logger log_{"test", std::make_shared<spdlog::sinks::ostream_sink_mt>(said_)};
};

TEST_F(AuditLogTest, what_was_closed_is_whole_and_goes_on_at_the_next_start) {
  for (int run = 0; run < 3; ++run) {
    auto log = open();
    ASSERT_TRUE(log) << log.error();
    EXPECT_TRUE(write(**log, "one"));
    (*log)->close();
    expect_whole();
    EXPECT_TRUE(verify().closed);
    EXPECT_EQ(verify().head, (*log)->head());
  }
  EXPECT_EQ(disk_.files.size(), 1u);
  EXPECT_EQ(verify().lines, 7u) << "one beginning, and each run its record and its end";
}

TEST_F(AuditLogTest, a_checkpoint_is_made_after_so_many_lines_and_not_before) {
  settings_.checkpoint_lines = 3;
  auto log = *open();
  EXPECT_TRUE(write(*log, "two"));
  EXPECT_FALSE(holds("checkpoint"));
  EXPECT_TRUE(write(*log, "three"));
  EXPECT_TRUE(holds(R"("kind":"checkpoint","cause":"count")"));
}

TEST_F(AuditLogTest, a_checkpoint_in_time_signs_what_there_is_and_nothing_twice) {
  auto log = *open();
  EXPECT_TRUE(write(*log, "one"));
  log->checkpoint();
  expect_whole();
  EXPECT_EQ(disk_.synced, 1u);
  log->checkpoint();
  EXPECT_EQ(verify().checkpoints, 1u);
}

TEST_F(AuditLogTest, the_disk_is_waited_for_at_each_record_where_that_is_set) {
  settings_.sync = AuditSync::record;
  auto log = *open();
  EXPECT_TRUE(write(*log, "one"));
  EXPECT_TRUE(write(*log, "two"));
  EXPECT_EQ(disk_.synced, 2u);
}

TEST_F(AuditLogTest, a_full_file_is_followed_by_another_and_the_chain_goes_on) {
  settings_.file_bytes_max = 1000;
  auto log = *open();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(write(*log, "something"));
  EXPECT_GT(disk_.files.size(), 2u);
  log->close();
  expect_whole();
  log = *open();
  log->close();
  expect_whole();
}

TEST_F(AuditLogTest, a_line_torn_at_any_byte_is_taken_away_and_that_is_written_down) {
  auto log = *open();
  EXPECT_TRUE(write(*log, "whole"));
  const std::string before = disk_.files[1];
  EXPECT_TRUE(write(*log, "torn"));
  const std::string line = disk_.files[1].substr(before.size());
  for (std::size_t left = 1; left < line.size(); ++left) {
    disk_.files[1] = before + line.substr(0, left);
    log = *open();
    EXPECT_TRUE(disk_.files[1].starts_with(before));
    EXPECT_NE(disk_.files[1].find(fmt::format("\"reason\":\"{} bytes\"", left)), std::string::npos);
    EXPECT_FALSE(holds(R"("what":"torn")"));
    log->close();
    expect_whole();
  }
  EXPECT_NE(said_.str().find("took away"), std::string::npos);
}

TEST_F(AuditLogTest, a_crash_between_two_files_leaves_one_log) {
  settings_.file_bytes_max = 500;
  auto log = *open();
  while (disk_.files.size() < 2) EXPECT_TRUE(write(*log, "something"));
  for (const std::string_view begun : {"", "{\"seq\":"}) {
    disk_.files[2] = begun;
    log = *open();
    EXPECT_TRUE(write(*log, "after"));
    log->close();
    expect_whole();
  }
}

TEST_F(AuditLogTest, an_altered_log_is_not_gone_on_with) {
  auto log = *open();
  EXPECT_TRUE(write(*log, "original"));
  log->close();
  std::string& text = disk_.files[1];
  text.replace(text.find("original"), 8, "forged!!");
  const auto again = open();
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().find("file-1:2"), std::string::npos) << again.error();
}

TEST_F(AuditLogTest, a_log_of_another_key_is_gone_on_with) {
  (*open())->close();
  seed_.bytes()[0] = std::byte{9};
  EXPECT_TRUE(open());
}

TEST_F(AuditLogTest, a_full_disk_lets_the_node_go_on_and_is_written_down_when_it_is_over) {
  auto log = *open();
  disk_.room = 50;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(write(*log, "lost"));
  log->checkpoint();
  EXPECT_NE(said_.str().find("AUDIT LOG"), std::string::npos);
  disk_.room = SIZE_MAX;
  EXPECT_TRUE(write(*log, "kept"));
  EXPECT_TRUE(holds(R"("reason":"3 records could not be written")"));
  EXPECT_FALSE(holds(R"("what":"lost")"));
  log->close();
  expect_whole();
}

TEST_F(AuditLogTest, a_full_disk_refuses_where_that_is_set) {
  settings_.on_failure = AuditFailure::refuse;
  auto log = *open();
  EXPECT_TRUE(write(*log, "kept"));
  disk_.room = 0;
  EXPECT_FALSE(write(*log, "lost"));
  disk_.room = SIZE_MAX;
  EXPECT_TRUE(write(*log, "kept"));
}

TEST_F(AuditLogTest, every_amount_of_room_leaves_a_whole_log) {
  for (std::size_t room = 0; room < 1500; ++room) {
    disk_ = {};
    auto log = *open();
    disk_.room = room;
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(write(*log, "some"));
    log->checkpoint();
    disk_.room = SIZE_MAX;
    EXPECT_TRUE(write(*log, "kept"));
    log->close();
    expect_whole();
  }
}

TEST_F(AuditLogTest, what_cannot_be_cut_off_is_not_written_behind) {
  auto log = *open();
  disk_.room = 20;
  EXPECT_TRUE(write(*log, "lost"));
  disk_.room = SIZE_MAX;
  disk_.truncates = false;
  EXPECT_TRUE(write(*log, "lost"));
  EXPECT_FALSE(holds("\"what\":\"lost\""));
  disk_.truncates = true;
  log->close();
  expect_whole();
}

TEST_F(AuditLogTest, without_room_for_another_file_the_old_one_goes_on) {
  settings_.file_bytes_max = 500;
  auto log = *open();
  disk_.opens = false;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(write(*log, "something"));
  EXPECT_EQ(disk_.files.size(), 1u);
  disk_.opens = true;
  EXPECT_TRUE(write(*log, "something"));
  EXPECT_EQ(disk_.files.size(), 2u);
  log->close();
  expect_whole();
}

TEST_F(AuditLogTest, a_record_that_is_not_on_the_disk_is_refused_where_both_are_set) {
  settings_.sync = AuditSync::record;
  settings_.on_failure = AuditFailure::refuse;
  auto log = *open();
  disk_.syncs = false;
  EXPECT_FALSE(write(*log, "volatile"));
  EXPECT_NE(said_.str().find("cannot keep"), std::string::npos);
}

TEST_F(AuditLogTest, a_log_that_cannot_be_begun_says_so) {
  disk_.room = 10;
  const auto log = open();
  ASSERT_FALSE(log);
  EXPECT_NE(log.error().find("file-1"), std::string::npos);
}

TEST_F(AuditLogTest, after_the_end_nothing_is_written) {
  auto log = *open();
  log->close();
  EXPECT_FALSE(write(*log, "late"));
  log->checkpoint();
  expect_whole();
}

TEST(DiskAuditDirectory, keeps_files_that_only_their_user_reads) {
  const testing::ScratchDirectory scratch;
  const std::string path = scratch.path() + "/audit";
  const auto directory = disk_audit_directory(path);
  ASSERT_TRUE(directory->list());
  EXPECT_TRUE(directory->list()->empty());
  auto file = directory->open(2);
  ASSERT_TRUE(file);
  EXPECT_FALSE((*file)->append("one\ntw"));
  EXPECT_FALSE((*file)->truncate(4));
  EXPECT_FALSE((*file)->append("two\n"));
  EXPECT_FALSE((*file)->sync());
  ASSERT_TRUE(directory->open(10));
  EXPECT_EQ(*directory->list(), (std::vector<std::uint64_t>{2, 10}));
  EXPECT_EQ(*directory->read(2), "one\ntwo\n");
  EXPECT_FALSE(directory->read(3));
  struct stat status{};
  ASSERT_EQ(::stat(directory->path(2).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
}

}  // namespace
}  // namespace valkyrie::server
