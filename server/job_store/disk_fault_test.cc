// A disk that is full, slow to give room, or cannot be trusted.
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "server/job_store/database.h"
#include "server/job_store/testing/fault_vfs.h"
#include "server/job_store/testing/test_store.h"

namespace valkyrie::job_store {
namespace {

using jobs::StoreRoom;
using testing::assigned;
using testing::ended;
using testing::FaultVfs;
using testing::make_record;
using testing::TestFolder;
using testing::TestStore;

// A job that the log's room does not hold, whatever was in the log before.
jobs::JobRecord make_large_record(jobs::Row row) {
  jobs::JobRecord record = make_record(row);
  record.spec.environment.emplace_back("PAD", std::string(60'000, 'x'));
  return record;
}

class FullDisk : public ::testing::Test {
 protected:
  const TestFolder folder_;
  FaultVfs vfs_{"full-disk"};
  TestStore store_{folder_.store(),
                   {.look_interval = std::chrono::milliseconds(1), .vfs = vfs_.name()}};
};

TEST_F(FullDisk, loses_nothing_and_goes_on_by_itself_when_space_returns) {
  static_cast<void>(store_.open());
  store_->insert(make_record(1));
  store_.wait(1);
  vfs_.fill_disk(true);
  store_->insert(make_large_record(2));
  const auto last = store_->update(make_record(1).id, 0, assigned(5));
  store_.wait_log("jobs wait to be written: database or disk is full");
  EXPECT_EQ(store_->room(), StoreRoom::disk_full);
  EXPECT_EQ(store_->durable(), 1u);
  vfs_.fill_disk(false);
  store_.wait(last);
  store_.wait_log("jobs are written again");
  EXPECT_EQ(store_->room(), StoreRoom::open);
  jobs::JobRecord first = make_record(1);
  first.status = assigned(5);
  EXPECT_EQ(store_.open().live, (std::vector{first, make_large_record(2)}));
}

TEST_F(FullDisk, takes_ends_in_the_room_that_the_log_has) {
  static_cast<void>(store_.open());
  constexpr jobs::Row kJobs = 40;
  for (jobs::Row row = 1; row <= kJobs; ++row) store_->insert(make_record(row));
  static_cast<void>(store_.open());
  // One commit each, so that the log has room for some when the disk has none.
  jobs::Change last = 0;
  for (jobs::Row row = 1; row <= kJobs; ++row) {
    last = store_->update(make_record(row).id, 0, assigned(row));
    store_.wait(last);
  }
  vfs_.fill_disk(true);
  for (jobs::Row row = 1; row <= kJobs; ++row) {
    last = store_->update(make_record(row).id, row, ended(row));
    store_.wait(last);
  }
  EXPECT_EQ(store_->durable(), 2 * kJobs);
  store_.wait_log("jobs wait to be written");
  vfs_.fill_disk(false);
  EXPECT_EQ(store_.open().ended.size(), kJobs);
}

TEST_F(FullDisk, closes_and_gives_up_what_it_never_promised) {
  static_cast<void>(store_.open());
  store_->insert(make_record(1));
  store_.wait(1);
  vfs_.fill_disk(true);
  store_->insert(make_large_record(2));
  store_.wait_log("jobs wait to be written");
  store_->close();
  store_.wait_log("1 changes of jobs are given up");
  vfs_.fill_disk(false);
  const jobs::StoredJobs jobs = store_.open();
  EXPECT_EQ(jobs.live, (std::vector{make_record(1)}));
  EXPECT_EQ(jobs.next_row, 2u);
}

TEST_F(FullDisk, is_named_when_a_store_is_opened) {
  vfs_.fill_disk(true);
  const std::string error = store_.open_error();
  EXPECT_NE(error.find("make room on its disk"), std::string::npos) << error;
  vfs_.fill_disk(false);
  EXPECT_EQ(store_.open_error(), "");
}

// Writes jobs through commits, checkpoints and moves to done files, with one write refused on the
// way. Returns what the store has to give back.
std::vector<jobs::JobRecord> write_jobs(TestStore& store) {
  std::vector<jobs::JobRecord> records;
  for (jobs::Row row = 1; row <= 40; ++row) {
    records.push_back(make_large_record(row));
    store->insert(records.back());
    records.back().status = ended(row, store.now_ms);
    store.wait(store->update(records.back().id, 0, records.back().status));
    store.now_ms += 20ull * 60 * 1000;
  }
  return records;
}

TEST_F(FullDisk, loses_nothing_whichever_write_it_refuses) {
  for (std::uint64_t write = 0;; ++write) {
    SCOPED_TRACE(write);
    const TestFolder folder;
    TestStore store(folder.store(), {.log_bytes_max = 1u << 20,
                                     .look_interval = std::chrono::milliseconds(1),
                                     .vfs = vfs_.name()});
    vfs_.refuse_write(write * write / 4);
    if (const std::string error = store.open_error(); !error.empty()) {
      EXPECT_NE(error.find("make room on its disk"), std::string::npos) << error;
      static_cast<void>(store.open());
    }
    const auto records = write_jobs(store);
    const bool refused = vfs_.refused();
    vfs_.refuse_write(1u << 30);
    const jobs::StoredJobs jobs = store.open();
    EXPECT_EQ(jobs.ended, records);
    EXPECT_EQ(jobs.next_row, records.size() + 1);
    if (!refused) break;
  }
}

class LowDisk : public FullDisk {
 protected:
  // The tidier has looked at the disk since.
  void look() {
    const auto looks = store_->figures().looks;
    jobs::Change last = 0;
    while (store_->figures().looks < looks + 2) {
      last = store_->insert(make_record(row_++));
      store_.wait(last);
    }
  }
  jobs::Row row_ = 1;
};

TEST_F(LowDisk, keeps_a_gibibyte_for_the_ends_of_jobs) {
  static_cast<void>(store_.open());
  store_.free_bytes = kReserveBytesDefault;
  look();
  EXPECT_EQ(store_->room(), StoreRoom::open);
  store_.free_bytes = kReserveBytesDefault - 1;
  look();
  EXPECT_EQ(store_->room(), StoreRoom::disk_full);
  store_.wait(store_->update(make_record(1).id, 0, ended(5)));
  store_.free_bytes = kReserveBytesDefault;
  store_.wait_log("submits go on");
  EXPECT_EQ(store_->room(), StoreRoom::open);
}

TEST_F(LowDisk, keeps_a_twentieth_of_a_small_disk) {
  static_cast<void>(store_.open());
  store_.total_bytes = 20ull << 20;
  store_.free_bytes = 1u << 20;
  look();
  EXPECT_EQ(store_->room(), StoreRoom::open);
  store_.free_bytes = (1u << 20) - 1;
  look();
  EXPECT_EQ(store_->room(), StoreRoom::disk_full);
}

TEST(LongLog, lets_submits_pause_until_it_is_in_the_file) {
  const TestFolder folder;
  TestStore store(folder.store(),
                  {.log_bytes_max = 64u << 10, .look_interval = std::chrono::milliseconds(1)});
  static_cast<void>(store.open());
  // A reader, such as a backup, keeps the log from being written from its beginning.
  auto reader = Database::open(folder.store() + "/jobs.db", "");
  ASSERT_TRUE(reader.has_value());
  ASSERT_TRUE(reader->execute("BEGIN; SELECT * FROM job").has_value());
  jobs::Row row = 0;
  while (store->room() == StoreRoom::open) {
    ++row;
    store.wait(store->insert(make_record(row)));
    ASSERT_LT(row, 1'000u) << "the log's limit does nothing";
  }
  EXPECT_EQ(store->room(), StoreRoom::behind);
  store.wait(store->update(make_record(1).id, 0, assigned(5)));
  ASSERT_TRUE(reader->execute("COMMIT").has_value());
  store.wait_log("submits go on: the job store's log is in its file");
  EXPECT_EQ(store->room(), StoreRoom::open);
  EXPECT_GT(store->figures().checkpoints, 0u);
  EXPECT_EQ(store.open().live.size(), row);
}

class BrokenDiskDeathTest : public ::testing::Test {
 protected:
  BrokenDiskDeathTest() { ::testing::GTEST_FLAG(death_test_style) = "threadsafe"; }

  // Does `work` with a store on a disk where syncs of files with this suffix fail.
  template <class Work>
  void on_broken_disk(const std::string& suffix, const Work& work) const {
    FaultVfs vfs("broken-disk");
    TestStore store(folder_.store(),
                    {.log_bytes_max = 64u << 10, .ended_stay = {}, .vfs = vfs.name()});
    static_cast<void>(store.open());
    store.wait(store->insert(make_record(1)));
    vfs.break_syncs(suffix);
    work(store);
  }

  const TestFolder folder_{"job-store-disk-death"};
};

TEST_F(BrokenDiskDeathTest, ends_the_process_when_a_commit_cannot_be_synced) {
  EXPECT_DEATH(
      on_broken_disk("-wal", [](TestStore& store) { store.wait(store->insert(make_record(2))); }),
      "cannot go on.*a commit failed: disk I/O error");
}

TEST_F(BrokenDiskDeathTest, ends_the_process_when_the_file_cannot_be_synced) {
  const auto write = [](TestStore& store) {
    for (jobs::Row row = 2;; ++row) store.wait(store->insert(make_record(row)));
  };
  EXPECT_DEATH(on_broken_disk("/jobs.db", write), "cannot go on.*bringing the log into the file");
}

TEST_F(BrokenDiskDeathTest, ends_the_process_when_jobs_that_are_over_cannot_be_synced) {
  const auto end_jobs = [](TestStore& store) {
    for (jobs::Row row = 2;; ++row) {
      store->insert(make_record(row));
      store.wait(store->update(make_record(row).id, 0, ended(row)));
      store.now_ms += 3'600'000;
    }
  };
  EXPECT_DEATH(on_broken_disk("done-2026-11-24.db", end_jobs), "cannot go on.*done-2026-11-24");
}

}  // namespace
}  // namespace valkyrie::job_store
