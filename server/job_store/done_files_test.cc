#include "server/job_store/done_files.h"

#include <filesystem>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <vector>

#include "server/job_store/restore.h"
#include "server/job_store/testing/test_store.h"

namespace valkyrie::job_store {
namespace {

using testing::kNoonMs;
using testing::make_record;
using testing::TestFolder;
using testing::TestStore;

constexpr std::uint64_t kHourMs = 3'600'000;
constexpr std::uint64_t kDayMs = 24 * kHourMs;

// A store between two runs of its node: jobs are written by the one before, moved by hand, and read
// by the next.
class MovedJobs : public ::testing::Test {
 protected:
  // Runs a node that has one job end at each of these moments; rows go on from the last call's.
  void run(const std::vector<std::uint64_t>& ends) {
    static_cast<void>(store_.open());
    for (const std::uint64_t end : ends) {
      records_.push_back(make_record(++row_, end - kHourMs));
      store_->insert(records_.back());
      records_.back().status = testing::ended(row_, end);
      store_->update(records_.back().id, 0, records_.back().status);
    }
    store_.close();
  }
  // Does `work` with the files while no node runs.
  template <class Work>
  auto with_files(const Work& work) {
    auto directory = StoreDirectory::take(folder_.store());
    auto live = open_file(directory->live_file(), FileKind::live, "");
    StoreState state(StoreOptions{});
    DoneFiles files(state, *directory, *live);
    return work(files);
  }
  // Moves until nothing is left to move. Returns how many jobs each step moved.
  std::vector<std::size_t> move(std::uint64_t now_ms) {
    return with_files([now_ms](DoneFiles& files) {
      std::vector<std::size_t> steps;
      while (true) {
        const auto moved = files.move(now_ms);
        EXPECT_TRUE(moved.has_value()) << moved.error().text;
        if (!moved || *moved == 0) return steps;
        steps.push_back(*moved);
      }
    });
  }
  [[nodiscard]] std::string done(const std::string& day) const {
    return folder_.store() + "/done-" + day + ".db";
  }

  const TestFolder folder_;
  TestStore store_{folder_.store()};
  std::vector<jobs::JobRecord> records_;  // In the order of their ends, as run() wrote them.
  jobs::Row row_ = 0;
};

TEST_F(MovedJobs, are_in_the_file_of_the_day_of_their_end_and_still_given_back) {
  run({kNoonMs - 2 * kDayMs, kNoonMs - kDayMs, kNoonMs - kDayMs + 1, kNoonMs - kHourMs - 1});
  EXPECT_EQ(move(kNoonMs), (std::vector<std::size_t>{1, 2, 1}));
  for (const char* const day : {"2026-11-22", "2026-11-23", "2026-11-24"}) {
    EXPECT_TRUE(std::filesystem::exists(done(day))) << day;
    EXPECT_FALSE(std::filesystem::exists(done(day) + "-journal")) << day;
  }
  const jobs::StoredJobs jobs = store_.open();
  EXPECT_EQ(jobs.ended, records_);
  EXPECT_EQ(jobs.next_row, row_ + 1) << "no row is given twice, though all were moved";
  EXPECT_TRUE(jobs.live.empty());
}

TEST_F(MovedJobs, are_in_the_day_that_begins_at_midnight_of_utc) {
  run({kNoonMs - 12 * kHourMs - 1, kNoonMs - 12 * kHourMs});
  EXPECT_EQ(move(kNoonMs), (std::vector<std::size_t>{1, 1}));
  EXPECT_TRUE(std::filesystem::exists(done("2026-11-23")));
  EXPECT_TRUE(std::filesystem::exists(done("2026-11-24")));
}

TEST_F(MovedJobs, ended_an_hour_ago) {
  run({kNoonMs});
  EXPECT_TRUE(move(kNoonMs + kHourMs).empty());
  EXPECT_EQ(move(kNoonMs + kHourMs + 1), (std::vector<std::size_t>{1}));
}

TEST_F(MovedJobs, go_a_thousand_at_a_time) {
  run(std::vector<std::uint64_t>(2 * kMovedMax + 1, kNoonMs));
  EXPECT_EQ(move(kNoonMs + kDayMs), (std::vector<std::size_t>{kMovedMax, kMovedMax, 1}));
}

TEST_F(MovedJobs, are_joined_by_later_ones_of_their_day) {
  run({kNoonMs});
  EXPECT_EQ(move(kNoonMs + 2 * kHourMs).size(), 1u);
  run({kNoonMs + kHourMs});
  EXPECT_EQ(move(kNoonMs + 3 * kHourMs).size(), 1u);
  EXPECT_EQ(store_.open().ended, records_);
}

TEST_F(MovedJobs, count_once_where_a_crash_left_them_in_both_files) {
  run({kNoonMs, kNoonMs + 1});
  const std::string live = folder_.store() + "/jobs.db";
  std::filesystem::copy_file(live, live + ".before");
  EXPECT_EQ(move(kNoonMs + kDayMs).size(), 1u);
  for (const char* const suffix : {"-wal", "-shm"}) std::filesystem::remove(live + suffix);
  std::filesystem::rename(live + ".before", live);
  EXPECT_EQ(store_.open().ended, records_);
  store_.close();
  EXPECT_EQ(move(kNoonMs + kDayMs), (std::vector<std::size_t>{2}));
  EXPECT_EQ(store_.open().ended, records_);
}

TEST_F(MovedJobs, are_read_from_the_newest_files_until_there_are_enough) {
  run({kNoonMs - 3 * kDayMs, kNoonMs - 2 * kDayMs, kNoonMs - kDayMs, kNoonMs});
  EXPECT_EQ(move(kNoonMs).size(), 3u);
  TestStore next(folder_.store(), {.epoch = 9, .ended_max = 3});
  EXPECT_EQ(next.open().ended, std::vector(records_.begin() + 1, records_.end()));
}

TEST_F(MovedJobs, leave_those_behind_whose_cancel_may_still_be_proven) {
  run({kNoonMs});
  static_cast<void>(store_.open());
  records_[0].status.state = messages::JobState::cancel_unverified;
  store_->update(records_[0].id, row_, records_[0].status);
  store_.close();
  const std::uint64_t over = (kNoonMs / kDayMs + 91) * kDayMs;
  EXPECT_TRUE(move(over - 1).empty());
  EXPECT_EQ(store_.open().ended, records_);
  store_.close();
  EXPECT_EQ(move(over).size(), 1u) << "its time is over, too";
  EXPECT_TRUE(store_.open().ended.empty());
}

TEST_F(MovedJobs, whose_time_is_over_go_with_their_file) {
  run({kNoonMs, kNoonMs + kDayMs});
  EXPECT_EQ(move(kNoonMs + 2 * kDayMs).size(), 2u);
  const std::uint64_t over = (kNoonMs / kDayMs + 91) * kDayMs;
  with_files([&](DoneFiles& files) { files.drop_old(over - 1); });
  EXPECT_TRUE(std::filesystem::exists(done("2026-11-24")));
  with_files([&](DoneFiles& files) { files.drop_old(over); });
  EXPECT_FALSE(std::filesystem::exists(done("2026-11-24")));
  EXPECT_TRUE(std::filesystem::exists(done("2026-11-25")));
  const jobs::StoredJobs jobs = store_.open();
  EXPECT_EQ(jobs.ended, (std::vector{records_[1]}));
  EXPECT_EQ(jobs.next_row, row_ + 1);
}

TEST_F(MovedJobs, are_not_written_anew_when_their_time_is_over_already) {
  run({kNoonMs});
  EXPECT_EQ(move(kNoonMs + 92 * kDayMs).size(), 1u);
  EXPECT_FALSE(std::filesystem::exists(done("2026-11-24")));
  const jobs::StoredJobs jobs = store_.open();
  EXPECT_TRUE(jobs.ended.empty());
  EXPECT_EQ(jobs.next_row, row_ + 1);
}

TEST_F(MovedJobs, keep_their_keys_for_a_day) {
  run({kNoonMs + kHourMs});  // Came at noon.
  ASSERT_TRUE(records_[0].key.has_value());
  const std::vector expected{std::pair(*records_[0].key, records_[0].id)};
  EXPECT_EQ(move(kNoonMs + 3 * kHourMs).size(), 1u);
  TestStore next(folder_.store(), {.epoch = 9, .ended_max = 0});
  EXPECT_EQ(next.open().keys, expected);
  next.now_ms = kNoonMs + kKeyLifeMs;
  EXPECT_EQ(next.open().keys, expected);
  next.now_ms += 1;
  EXPECT_TRUE(next.open().keys.empty());
}

TEST_F(MovedJobs, leave_no_old_keys) {
  run({kNoonMs + kHourMs});
  EXPECT_EQ(move(kNoonMs + 3 * kHourMs).size(), 1u);
  run({kNoonMs + 3 * kDayMs});
  EXPECT_EQ(move(kNoonMs + 4 * kDayMs).size(), 1u);
  auto live = Database::open(folder_.store() + "/jobs.db", "");
  ASSERT_TRUE(live.has_value());
  EXPECT_EQ(live->number("SELECT count(*) FROM idem").value_or(99), 0u);
}

TEST_F(MovedJobs, stay_as_they_are_when_evidence_comes_late) {
  run({kNoonMs});
  EXPECT_EQ(move(kNoonMs + kDayMs).size(), 1u);
  static_cast<void>(store_.open());
  jobs::JobStatus late = records_[0].status;
  late.state = messages::JobState::cancelled;
  store_.wait(store_->update(records_[0].id, row_, late));
  store_.wait_log("row 1: evidence came after its job was moved away");
  EXPECT_EQ(store_.open().ended, records_);
}

TEST_F(MovedJobs, that_cannot_be_read_are_named_with_their_file) {
  run({kNoonMs});
  EXPECT_EQ(move(kNoonMs + kDayMs).size(), 1u);
  {
    auto file = Database::open(done("2026-11-24"), "");
    ASSERT_TRUE(file.has_value());
    ASSERT_TRUE(file->execute("UPDATE job SET state = 'dancing'").has_value());
  }
  const std::string error = store_.open_error();
  EXPECT_NE(error.find("done-2026-11-24.db is damaged: row 1 of its jobs has a bad state"),
            std::string::npos)
      << error;
}

TEST_F(MovedJobs, are_moved_while_the_node_runs) {
  static_cast<void>(store_.open());
  jobs::Row row = 0;
  while (store_->figures().moved == 0) {
    const jobs::JobRecord record = make_record(++row);
    store_->insert(record);
    store_.wait(store_->update(record.id, 0, testing::ended(row, store_.now_ms)));
    store_.now_ms += kHourMs / 4;
    ASSERT_LT(row, 100'000u) << "nothing is ever moved";
  }
  EXPECT_EQ(store_.open().ended.size(), std::min<jobs::Row>(row, 1'000));
}

TEST(StoreDirectory, knows_its_done_files_by_their_names) {
  const TestFolder folder;
  auto directory = StoreDirectory::take(folder.store());
  ASSERT_TRUE(directory.has_value());
  for (const Day day : {Day{0}, Day{19'723}, Day{20'781}, Day{20'781}}) {
    ASSERT_TRUE(directory->keep_private(directory->done_file(day)).has_value());
  }
  EXPECT_EQ(directory->done_file(20'781), folder.store() + "/done-2026-11-24.db");
  for (const char* const name : {"done-2026-11-24.db-journal", "done-2026-13-24.db", "done-.db",
                                 "done-2026-02-30.db", "done-26-11-24.db", "done-2026-1a-24.db"}) {
    ASSERT_TRUE(directory->keep_private(folder.store() + "/" + name).has_value());
  }
  EXPECT_EQ(directory->done_days(), (std::vector<Day>{0, 19'723, 20'781}));
}

}  // namespace
}  // namespace valkyrie::job_store
