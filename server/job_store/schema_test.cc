#include "server/job_store/schema.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <string>

#include "server/job_store/testing/test_store.h"

namespace valkyrie::job_store {
namespace {

using testing::make_record;
using testing::TestFolder;
using testing::TestStore;

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_all(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// A closed store with ten jobs, five of them over.
class StoreFile : public ::testing::Test {
 protected:
  StoreFile() {
    static_cast<void>(store_.open());
    for (jobs::Row row = 1; row <= 10; ++row) {
      store_->insert(make_record(row));
      if (row % 2 == 0) store_->update(make_record(row).id, 0, testing::ended(row));
    }
    store_.close();
  }

  void execute(const char* sql) const {
    auto database = Database::open(file_, "");
    ASSERT_TRUE(database.has_value());
    const auto done = database->execute(sql);
    ASSERT_TRUE(done.has_value()) << done.error().text;
    ASSERT_TRUE(database->execute("PRAGMA wal_checkpoint(TRUNCATE)").has_value());
  }

  // It is refused with this text, and left as it is.
  void expect_refused(const std::string& text) {
    const std::string before = read_all(file_);
    const std::string error = store_.open_error();
    EXPECT_NE(error.find(text), std::string::npos) << error;
    EXPECT_NE(error.find(file_), std::string::npos) << error;
    EXPECT_EQ(read_all(file_), before);
  }

  const TestFolder folder_;
  const std::string file_ = folder_.store() + "/jobs.db";
  TestStore store_{folder_.store()};
};

TEST_F(StoreFile, is_known_by_its_header) {
  const std::string bytes = read_all(file_);
  EXPECT_EQ(bytes.substr(68, 4), "VKJS");
  EXPECT_EQ(bytes.substr(60, 4), std::string("\0\0\0\x01", 4));
}

TEST_F(StoreFile, of_a_newer_version_is_refused) {
  execute("PRAGMA user_version = 2");
  expect_refused("was made by a newer Valkyrie: it has version 2, this program knows 1");
}

TEST_F(StoreFile, of_another_program_is_refused) {
  std::filesystem::remove(file_);
  execute("CREATE TABLE notes(text); INSERT INTO notes VALUES ('mine')");
  expect_refused("is not a job store of Valkyrie");
}

TEST_F(StoreFile, of_another_program_with_an_empty_database_is_refused) {
  std::filesystem::remove(file_);
  execute("PRAGMA application_id = 77; PRAGMA user_version = 1");
  expect_refused("is not a job store of Valkyrie");
}

TEST_F(StoreFile, that_is_no_database_is_refused) {
  for (const std::string_view text : {"x", "some text that somebody has put here"}) {
    write_all(file_, text);
    expect_refused("its first bytes are not those of a database");
  }
}

TEST_F(StoreFile, that_is_a_folder_is_refused) {
  std::filesystem::remove(file_);
  std::filesystem::create_directory(file_);
  EXPECT_NE(store_.open_error().find("it is not a file"), std::string::npos);
}

TEST_F(StoreFile, cut_short_anywhere_is_refused_or_whole) {
  const std::string whole = read_all(file_);
  for (std::size_t size = 1; size < whole.size(); size += 1'021) {
    write_all(file_, std::string_view(whole).substr(0, size));
    const std::string error = store_.open_error();
    if (error.empty()) {
      EXPECT_EQ(store_.open().live.size(), 5u) << "of " << whole.size() << " bytes " << size;
    } else {
      EXPECT_NE(error.find("restore its folder from a backup"), std::string::npos) << error;
    }
    store_.close();
  }
}

TEST_F(StoreFile, with_bytes_overwritten_opens_or_says_what_is_wrong) {
  const std::string whole = read_all(file_);
  int refused = 0;
  for (std::size_t at = 100; at + 64 < whole.size(); at += 509) {
    std::string damaged = whole;
    damaged.replace(at, 64, 64, '\xa5');
    write_all(file_, damaged);
    for (const char* const suffix : {"-wal", "-shm"}) std::filesystem::remove(file_ + suffix);
    if (!store_.open_error().empty()) ++refused;
    store_.close();
  }
  EXPECT_GT(refused, 0);
}

TEST_F(StoreFile, with_a_damaged_row_names_the_row) {
  execute("UPDATE job SET state = 'dancing' WHERE row = 7");
  expect_refused("row 7 of its jobs has a bad state");
}

TEST_F(StoreFile, with_a_damaged_column_says_which) {
  execute("UPDATE job SET id = 'job_0' WHERE row = 3");
  expect_refused("row 3 of its jobs has a bad id");
  execute("UPDATE job SET id = (SELECT id FROM job WHERE row = 4) WHERE row = 3");
  expect_refused("row 3 of its jobs has a bad id");
}

TEST_F(StoreFile, with_a_damaged_spec_names_the_row) {
  execute("UPDATE spec SET body = x'ffff' WHERE row = 5");
  expect_refused("row 5 of its jobs has a bad spec");
  execute("DELETE FROM spec WHERE row = 5");
  expect_refused("row 5 of its jobs has a bad spec");
}

TEST_F(StoreFile, with_a_damaged_end_names_the_row) {
  execute("UPDATE job SET result = x'00' WHERE row = 8");
  expect_refused("row 8 of its jobs has a bad result");
  execute("UPDATE job SET attempt = -1 WHERE row = 8");
  expect_refused("row 8 of its jobs has a bad attempt");
  execute("UPDATE job SET key = x'1234' WHERE row = 8");
  expect_refused("row 8 of its jobs has a bad key");
}

TEST_F(StoreFile, can_be_read_beside_the_node_by_other_programs) {
  static_cast<void>(store_.open());
  store_->insert(make_record(11));
  store_.wait(1);
  auto database = Database::open(file_, "");
  ASSERT_TRUE(database.has_value());
  const auto queued = database->number("SELECT count(*) FROM job WHERE state = 'queued'");
  ASSERT_TRUE(queued.has_value()) << queued.error().text;
  EXPECT_EQ(*queued, 6u);
}

}  // namespace
}  // namespace valkyrie::job_store
