#include "server/ops/job_storage.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <utility>

namespace valkyrie::server {

namespace {

// Between two rounds of retention.
constexpr protocol::Duration kPruneInterval = std::chrono::hours(1);

std::expected<std::string, std::string> make_temporary() {
  std::error_code error;
  std::string path = (std::filesystem::temp_directory_path(error) / "valkyrie-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) {
    return std::unexpected(fmt::format("cannot make a folder for the output of jobs at {}: {}",
                                       path, std::strerror(errno)));
  }
  return path;
}

}  // namespace

std::expected<std::unique_ptr<JobStorage>, std::string> JobStorage::open(
    const std::string& state_directory, std::uint32_t epoch, std::function<std::uint64_t()> unix_ms,
    spdlog::logger& log) {
  std::unique_ptr<JobStorage> storage(new JobStorage);
  std::string logs;
  if (state_directory.empty()) {
    storage->jobs_ = std::make_unique<jobs::MemoryJobStore>();
    auto made = make_temporary();
    if (!made) return std::unexpected(std::move(made.error()));
    logs = storage->temporary_ = *std::move(made);
  } else {
    const std::string directory = state_directory + "/jobs";
    logs = directory + "/logs";
    auto opened = storage->open_jobs(directory, epoch, unix_ms, log);
    if (!opened) return std::unexpected(std::move(opened.error()));
  }
  if (auto opened = storage->open_logs(logs, log); !opened) {
    return std::unexpected(std::move(opened.error()));
  }
  storage->pruning_ = std::make_unique<IntervalThread>(
      kPruneInterval, [&files = *storage->logs_, unix_ms] { files.prune(unix_ms()); });
  return storage;
}

std::expected<void, std::string> JobStorage::open_jobs(const std::string& directory,
                                                       std::uint32_t epoch,
                                                       std::function<std::uint64_t()> unix_ms,
                                                       spdlog::logger& log) {
  job_store::StoreOptions options;
  options.epoch = epoch;
  options.on_durable = [this] { wake(); };
  options.log = [&log](std::string_view line) { log.warn("jobs: {}", line); };
  options.now_ms = std::move(unix_ms);
  auto opened = job_store::SqliteJobStore::open(directory, std::move(options));
  if (!opened) return std::unexpected(std::move(opened.error()));
  stored_ = std::move(opened->jobs);
  jobs_ = std::move(opened->store);
  return {};
}

std::expected<void, std::string> JobStorage::open_logs(const std::string& directory,
                                                       spdlog::logger& log) {
  log_store::FileLogStoreOptions options;
  options.on_news = [this] { wake(); };
  options.on_pruned = [&log](const log_store::Pruned& pruned) {
    if (!pruned.error.empty()) log.warn("logs of jobs cannot be removed: {}", pruned.error);
  };
  auto opened = log_store::FileLogStore::open(directory, std::move(options));
  if (!opened) return std::unexpected(std::move(opened.error()));
  logs_ = *std::move(opened);
  return {};
}

JobStorage::~JobStorage() {
  on_news({});
  pruning_.reset();
  logs_.reset();
  jobs_.reset();
  std::error_code ignored;  // What is left is in a folder for what may be left.
  if (!temporary_.empty()) std::filesystem::remove_all(temporary_, ignored);
}

void JobStorage::on_news(std::function<void()> wake) {
  const std::lock_guard lock(wake_mutex_);
  wake_ = std::move(wake);
}

void JobStorage::wake() {
  const std::lock_guard lock(wake_mutex_);
  if (wake_) wake_();
}

}  // namespace valkyrie::server
