#include "server/job_store/testing/test_store.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::job_store::testing {

using messages::EndReason;
using messages::JobState;

TestFolder::TestFolder() {
  path_ = (std::filesystem::temp_directory_path() / "valkyrie-jobs-XXXXXX").string();
  const char* const made = ::mkdtemp(path_.data());
  VALKYRIE_ASSERT(made != nullptr);
}

TestFolder::TestFolder(const std::string& name)
    : path_((std::filesystem::current_path() / name).string()) {
  std::filesystem::remove_all(path_);
  std::filesystem::create_directory(path_);
}

TestFolder::~TestFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

jobs::JobRecord make_record(jobs::Row row, std::uint64_t unix_ms) {
  jobs::JobRecord record{.id = jobs::JobId::make(unix_ms, 3, row, 77),
                         .spec = {.name = fmt::format("build {}", row),
                                  .commands = {"make", "make test"},
                                  .environment = {{"CC", "gcc"}, {"BYTES", "\x01\xff"}},
                                  .require = {"os=linux"},
                                  .timeout_run_ms = row},
                         .submitter = "ci@example"};
  record.owned = row % 2 == 1;
  if (row % 3 != 0) {
    jobs::SubmitKey key;
    key.key.fill(static_cast<std::uint8_t>(row));
    key.body.fill(0xb0);
    record.key = key;
  }
  return record;
}

jobs::JobStatus assigned(std::uint64_t token) {
  return {.state = JobState::assigned, .attempt = 1, .token = token, .runner = "r-1"};
}

jobs::JobStatus ended(std::uint64_t token, std::uint64_t ended_ms) {
  jobs::JobStatus status = assigned(token);
  status.state = JobState::failed;
  status.stop = jobs::Stop{
      .state = JobState::failed, .reason = EndReason::timeout_run, .text = "took too long"};
  status.ended_ms = ended_ms;
  status.result = messages::JobResult{.state = JobState::failed,
                                      .reason = EndReason::timeout_run,
                                      .text = "took too long",
                                      .exit_code = -1,
                                      .signal = 15,
                                      .usage = {.user_ns = 7},
                                      .evidence = {.method = "namespace", .complete = true}};
  return status;
}

TestStore::TestStore(std::string directory, StoreOptions options)
    : directory_(std::move(directory)), options_(std::move(options)) {
  --options_.epoch;
  options_.on_durable = [this] { durable(); };
  options_.log = [this](std::string_view line) { log(line); };
  options_.now_ms = [this] { return now_ms.load(); };
  options_.space = [this]() -> std::expected<DiskSpace, std::string> {
    return DiskSpace{.free = free_bytes, .total = total_bytes};
  };
}

jobs::StoredJobs TestStore::open() {
  store_.reset();
  ++options_.epoch;
  auto opened = SqliteJobStore::open(directory_, options_);
  if (!opened) {
    std::fprintf(stderr, "%s\n", opened.error().c_str());
    std::abort();
  }
  store_ = std::move(opened->store);
  return std::move(opened->jobs);
}

std::string TestStore::open_error() {
  store_.reset();
  ++options_.epoch;
  auto opened = SqliteJobStore::open(directory_, options_);
  if (!opened) return opened.error();
  store_ = std::move(opened->store);
  return "";
}

void TestStore::durable() {
  // Taken, so that a waiter cannot fall asleep between its look and this.
  {
    const std::lock_guard lock(mutex_);
  }
  risen_.notify_all();
}

void TestStore::log(std::string_view line) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(line);
  }
  risen_.notify_all();
}

void TestStore::wait(jobs::Change change) {
  std::unique_lock lock(mutex_);
  risen_.wait(lock, [&] { return store_->durable() >= change; });
}

void TestStore::wait_log(const std::string& text) {
  std::unique_lock lock(mutex_);
  auto found = lines_.end();
  risen_.wait(lock, [&] {
    found = std::ranges::find_if(
        lines_, [&](const std::string& line) { return line.find(text) != std::string::npos; });
    return found != lines_.end();
  });
  lines_.erase(found);
}

}  // namespace valkyrie::job_store::testing
