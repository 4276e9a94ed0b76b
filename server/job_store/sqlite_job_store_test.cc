#include "server/job_store/sqlite_job_store.h"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <utility>
#include <vector>

#include "server/job_store/testing/test_store.h"

namespace valkyrie::job_store {
namespace {

using testing::make_record;
using testing::TestFolder;
using testing::TestStore;

constexpr std::uint64_t kToken = std::uint64_t{1} << 40 | 5;

TEST(SqliteJobStore, begins_empty_with_row_one) {
  const TestFolder folder;
  TestStore store(folder.store());
  const jobs::StoredJobs jobs = store.open();
  EXPECT_TRUE(jobs.live.empty() && jobs.ended.empty() && jobs.keys.empty());
  EXPECT_EQ(jobs.next_row, 1u);
  EXPECT_EQ(store->room(), jobs::StoreRoom::open);
  EXPECT_EQ(store->durable(), 0u);
}

TEST(SqliteJobStore, gives_back_every_field_of_a_record) {
  const TestFolder folder;
  TestStore store(folder.store());
  static_cast<void>(store.open());
  jobs::JobRecord waiting = make_record(1);
  jobs::JobRecord running = make_record(2);
  jobs::JobRecord over = make_record(3);
  jobs::JobRecord bare = make_record(9);
  bare.spec = {.argv = {"true"}};
  bare.submitter.clear();
  for (const auto* record : {&waiting, &running, &over, &bare}) store->insert(*record);
  running.status = testing::assigned(kToken);
  running.status.stop = jobs::Stop{.text = "somebody\nsaid \xff"};
  store->update(running.id, 0, running.status);
  over.status = testing::ended(kToken + 1);
  store->update(over.id, 0, over.status);
  const jobs::StoredJobs jobs = store.open();
  EXPECT_EQ(jobs.live, (std::vector{waiting, running, bare}));
  EXPECT_EQ(jobs.ended, (std::vector{over}));
  EXPECT_EQ(jobs.next_row, 10u);
}

TEST(SqliteJobStore, keeps_a_token_of_the_last_epoch) {
  const TestFolder folder;
  TestStore store(folder.store());
  static_cast<void>(store.open());
  jobs::JobRecord record = make_record(1);
  store->insert(record);
  record.status = testing::assigned(~std::uint64_t{0});
  store->update(record.id, 0, record.status);
  store->update(record.id, ~std::uint64_t{0}, record.status);
  EXPECT_EQ(store.open().live, (std::vector{record}));
}

TEST(SqliteJobStore, numbers_changes_from_one_at_each_start_and_says_when_they_are_durable) {
  const TestFolder folder;
  TestStore store(folder.store());
  for (const jobs::Row row : {jobs::Row{1}, jobs::Row{2}}) {
    static_cast<void>(store.open());
    EXPECT_EQ(store->insert(make_record(row)), 1u);
    EXPECT_EQ(store->update(make_record(row).id, 0, testing::assigned(kToken)), 2u);
    store.wait(2);
    EXPECT_EQ(store->durable(), 2u);
  }
}

TEST(SqliteJobStore, commits_many_inserts_together) {
  const TestFolder folder;
  TestStore store(folder.store());
  static_cast<void>(store.open());
  constexpr jobs::Row kJobs = 100'000;
  for (jobs::Row row = 1; row <= kJobs; ++row) store->insert(make_record(row));
  store.wait(kJobs);
  EXPECT_GE(store->figures().commits, kJobs / 1024);
  EXPECT_LT(store->figures().commits, kJobs / 20);
  EXPECT_EQ(store->figures().queue_bytes, 0u);
  const jobs::StoredJobs jobs = store.open();
  ASSERT_EQ(jobs.live.size(), kJobs);
  EXPECT_TRUE(std::ranges::is_sorted(jobs.live, {}, &jobs::JobRecord::id));
  EXPECT_EQ(jobs.live.back(), make_record(kJobs));
}

TEST(SqliteJobStore, gives_back_the_latest_ends_oldest_first) {
  const TestFolder folder;
  TestStore store(folder.store(), {.ended_max = 3});
  static_cast<void>(store.open());
  // The later the row, the earlier its end.
  for (jobs::Row row = 1; row <= 5; ++row) {
    store->insert(make_record(row));
    store->update(make_record(row).id, 0, testing::ended(kToken + row, testing::kNoonMs - row));
  }
  const jobs::StoredJobs jobs = store.open();
  ASSERT_EQ(jobs.ended.size(), 3u);
  EXPECT_EQ(jobs.ended[0].id.row(), 3u);
  EXPECT_EQ(jobs.ended[2].id.row(), 1u);
  EXPECT_EQ(jobs.next_row, 6u);
}

TEST(SqliteJobStore, gives_back_keys_of_other_jobs_until_they_are_a_day_old) {
  const TestFolder folder;
  TestStore store(folder.store(), {.ended_max = 1});
  static_cast<void>(store.open());
  const jobs::JobRecord live = make_record(1);
  const jobs::JobRecord over = make_record(2);
  const jobs::JobRecord old = make_record(4, testing::kNoonMs - kKeyLifeMs - 1);
  const jobs::JobRecord latest = make_record(5);
  for (const auto* record : {&live, &over, &old, &latest}) store->insert(*record);
  store->update(over.id, 0, testing::ended(kToken));
  store->update(old.id, 0, testing::ended(kToken));
  store->update(latest.id, 0, testing::ended(kToken, testing::kNoonMs + 1));
  const std::vector expected{std::pair(*over.key, over.id)};
  EXPECT_EQ(store.open().keys, expected) << "those in the lists of jobs are there";
  store.now_ms += kKeyLifeMs;
  EXPECT_EQ(store.open().keys, expected) << "to the end of its life";
  store.now_ms += 1;
  EXPECT_TRUE(store.open().keys.empty());
}

TEST(SqliteJobStore, commits_what_is_queued_before_it_closes) {
  const TestFolder folder;
  TestStore store(folder.store());
  static_cast<void>(store.open());
  for (jobs::Row row = 1; row <= 3'000; ++row) store->insert(make_record(row));
  store->close();
  EXPECT_EQ(store->durable(), 3'000u);
  store.close();
  EXPECT_FALSE(std::filesystem::exists(folder.store() + "/jobs.db-wal")) << "one file is left";
  EXPECT_EQ(store.open().live.size(), 3'000u);
}

TEST(SqliteJobStore, refuses_a_folder_that_another_has) {
  const TestFolder folder;
  TestStore first(folder.store());
  static_cast<void>(first.open());
  first->insert(make_record(1));
  TestStore second(folder.store(), {.epoch = 7});
  EXPECT_NE(second.open_error().find("another node that runs uses it"), std::string::npos);
  first->insert(make_record(2));
  EXPECT_EQ(first.open().live.size(), 2u);
  first.close();
  EXPECT_EQ(second.open_error(), "");
}

TEST(SqliteJobStore, refuses_an_epoch_whose_tokens_may_be_given_already) {
  const TestFolder folder;
  TestStore(folder.store(), {.epoch = 17}).open();
  for (const std::uint32_t epoch : {1u, 16u, 17u}) {
    const std::string error = TestStore(folder.store(), {.epoch = epoch}).open_error();
    EXPECT_NE(error.find("was used at start 17"), std::string::npos) << error;
  }
  EXPECT_EQ(TestStore(folder.store(), {.epoch = 18}).open_error(), "");
}

TEST(SqliteJobStore, keeps_its_files_from_other_users) {
  const TestFolder folder;
  const mode_t mask = ::umask(0);
  TestStore store(folder.store());
  static_cast<void>(store.open());
  store->insert(make_record(1));
  store.wait(1);
  const auto expect_private = [&] {
    for (const auto& entry : std::filesystem::directory_iterator(folder.store())) {
      struct stat status{};
      ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
      EXPECT_EQ(status.st_mode & 0777U, 0600u) << entry.path();
    }
  };
  expect_private();
  store.close();
  // Somebody copied it back with what the copy's program makes of modes.
  ASSERT_EQ(::chmod((folder.store() + "/jobs.db").c_str(), 0644), 0);
  static_cast<void>(store.open());
  expect_private();
  ::umask(mask);
  struct stat status{};
  ASSERT_EQ(::stat(folder.store().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700u);
}

TEST(SqliteJobStore, says_why_a_folder_cannot_be_made) {
  const TestFolder folder;
  const std::string error = TestStore(folder.path() + "/missing/jobs").open_error();
  EXPECT_NE(error.find("cannot keep jobs in"), std::string::npos) << error;
  EXPECT_NE(error.find("No such file"), std::string::npos) << error;
}

TEST(SqliteJobStoreDeathTest, ends_the_process_when_a_token_is_not_what_the_plane_thinks) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const TestFolder folder("job-store-token-death");
  const auto update_with_another_token = [&] {
    TestStore store(folder.store());
    static_cast<void>(store.open());
    store->insert(make_record(1));
    store->update(make_record(1).id, kToken, testing::assigned(kToken + 1));
    store.wait(2);
  };
  EXPECT_DEATH(update_with_another_token(), "broken invariant");
}

}  // namespace
}  // namespace valkyrie::job_store
