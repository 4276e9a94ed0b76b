// Writes jobs to a store without end and says how far they are durable, until somebody kills it:
//
//   job-store-kill-child DIRECTORY EPOCH
//
// First line: the row of its first job. Each line after that: a change that is durable. Changes go
// round, three for each job: inserted, assigned, ended.
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <fmt/format.h>
#include <mutex>
#include <string>
#include <string_view>
#include <unistd.h>

#include "server/job_store/testing/test_store.h"

namespace {

using namespace valkyrie;
using namespace valkyrie::job_store;

// Changes that may wait, so that commits of all sizes come.
constexpr jobs::Change kAheadMax = 3'000;

void say(std::uint64_t number) {
  const std::string line = fmt::format("{}\n", number);
  if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) ::_exit(3);
}

}  // namespace

int main(int argc, char** argv) {
  StoreOptions options;
  if (argc != 3) return 2;
  const std::string_view epoch = argv[2];
  std::from_chars(epoch.data(), epoch.data() + epoch.size(), options.epoch);
  std::mutex mutex;
  std::condition_variable risen;
  jobs::JobStore* store = nullptr;
  jobs::Change durable = 0;
  options.on_durable = [&] {
    {
      const std::lock_guard lock(mutex);
      durable = store->durable();
    }
    say(durable);
    risen.notify_one();
  };
  options.log = [](std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  options.now_ms = [] { return testing::kNoonMs; };
  options.log_bytes_max = 4u << 20;  // Checkpoints happen, too.
  auto opened = SqliteJobStore::open(argv[1], options);
  if (!opened) {
    options.log(opened.error());
    return 1;
  }
  store = opened->store.get();
  say(opened->jobs.next_row);
  jobs::Change last = 0;
  for (jobs::Row row = opened->jobs.next_row;; ++row) {
    const std::uint64_t token = std::uint64_t{options.epoch} << 40 | row;
    const jobs::JobRecord record = testing::make_record(row);
    store->insert(record);
    store->update(record.id, 0, testing::assigned(token));
    last = store->update(record.id, token, testing::ended(token));
    std::unique_lock lock(mutex);
    risen.wait(lock, [&] { return last - durable < kAheadMax; });
  }
}
