// What was said to be durable is there after a loss of power at any write, and the file opens.
#include <atomic>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "server/job_store/testing/fault_vfs.h"
#include "server/job_store/testing/test_store.h"

namespace valkyrie::job_store {
namespace {

using testing::FaultVfs;
using testing::TestFolder;
using testing::TestStore;

// A disk image as a cut left it, and what the store had promised at that moment.
struct Cut {
  std::string folder;
  jobs::Change durable = 0;
};

// The changes of a run: a store may hold what any number of them leaves, from the first on.
class Model {
 public:
  // A change, by the record that it leaves.
  void add(const jobs::JobRecord& record) { history_.push_back(record); }
  [[nodiscard]] jobs::Change changes() const { return history_.size(); }

  // These records are what some number of changes leaves, `from` or more.
  [[nodiscard]] bool has_prefix(const std::map<jobs::Row, jobs::JobRecord>& held,
                                jobs::Change from) const {
    std::map<jobs::Row, jobs::JobRecord> records;
    for (jobs::Change change = 0; change <= history_.size(); ++change) {
      if (change > 0) records[history_[change - 1].id.row()] = history_[change - 1];
      if (change >= from && records == held) return true;
    }
    return false;
  }

 private:
  std::vector<jobs::JobRecord> history_;
};

// Runs a store through inserts, updates, checkpoints and moves to done files, and cuts the power
// again and again while it runs.
class PoweredRun {
 public:
  explicit PoweredRun(std::uint64_t seed)
      : random_(seed),
        cut_random_(~seed),
        vfs_(fmt::format("power-cut-{}", seed)),
        store_(folder_.store(), {.log_bytes_max = 512u << 10,
                                 .ended_stay = std::chrono::minutes(1),
                                 .look_interval = std::chrono::milliseconds(1),
                                 .vfs = vfs_.name()}) {
    vfs_.on_step([this] { step(); });
  }

  void run() {
    EXPECT_TRUE(store_.open().live.empty());
    running_ = &*store_;
    std::vector<jobs::JobRecord> jobs;
    for (jobs::Row row = 1; row <= 300; ++row) {
      jobs.push_back(testing::make_record(row));
      jobs.back().spec.environment.emplace_back("PAD", std::string(random_() % 3'000, 'x'));
      model_.add(jobs.back());
      store_->insert(jobs.back());
      advance(jobs[random_() % jobs.size()]);
      if (random_() % 4 == 0) store_.wait(model_.changes());
      // So that ends become old enough to be moved.
      if (random_() % 30 == 0) store_.now_ms += 3'600'000;
    }
    store_.wait(model_.changes());
    EXPECT_GT(store_->figures().checkpoints, 0u);
    EXPECT_GT(store_->figures().moved, 0u);
    running_ = nullptr;
    store_.close();
    vfs_.on_step(nullptr);
  }

  void check() {
    EXPECT_GT(cuts_.size(), 10u);
    for (const Cut& cut : cuts_) {
      SCOPED_TRACE(fmt::format("{} promised {}", cut.folder, cut.durable));
      check(cut);
      std::filesystem::remove_all(cut.folder);
    }
  }

 private:
  void check(const Cut& cut) const {
    TestStore after(cut.folder, {.epoch = 2, .ended_max = 1'000'000});
    const jobs::StoredJobs jobs = after.open();
    std::map<jobs::Row, jobs::JobRecord> held;
    for (const auto& record : jobs.live) held[record.id.row()] = record;
    for (const auto& record : jobs.ended) held[record.id.row()] = record;
    EXPECT_EQ(held.size(), jobs.live.size() + jobs.ended.size()) << "a job counts twice";
    EXPECT_EQ(jobs.next_row, held.empty() ? 1 : held.rbegin()->first + 1);
    EXPECT_TRUE(model_.has_prefix(held, cut.durable)) << held.size() << " jobs";
  }

  // One step of a job's life, if it is not over.
  void advance(jobs::JobRecord& job) {
    if (job.status.ended_ms != 0) return;
    const std::uint64_t old = job.status.token;
    const std::uint64_t token = std::uint64_t{1} << 40 | job.id.row();
    job.status = old == 0 ? testing::assigned(token) : testing::ended(token, store_.now_ms);
    model_.add(job);
    store_->update(job.id, old, job.status);
  }

  void step() {
    if (steps_to_cut_-- > 0) return;
    steps_to_cut_ = cut_random_() % 60;
    // Asked before the cut: what is promised during it may be there or not.
    if (const SqliteJobStore* const running = running_) durable_ = running->durable();
    cuts_.push_back(
        {.folder = fmt::format("{}/cut-{}", folder_.path(), cuts_.size()), .durable = durable_});
    std::filesystem::create_directory(cuts_.back().folder);
    vfs_.cut_power(folder_.store(), cuts_.back().folder, cut_random_());
  }

  std::mt19937_64 random_;
  std::mt19937_64 cut_random_;  // Of step(), which whoever writes calls, one at a time.
  const TestFolder folder_;
  FaultVfs vfs_;
  TestStore store_;
  Model model_;
  std::atomic<const SqliteJobStore*> running_ = nullptr;
  jobs::Change durable_ = 0;
  std::uint64_t steps_to_cut_ = 3;
  std::vector<Cut> cuts_;
};

class PowerCut : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(PowerCut, leaves_what_was_said_to_be_durable_and_whole_commits_alone) {
  PoweredRun run(GetParam());
  run.run();
  run.check();
}

INSTANTIATE_TEST_SUITE_P(Seeds, PowerCut, ::testing::Range<std::uint64_t>(1, 13));

}  // namespace
}  // namespace valkyrie::job_store
