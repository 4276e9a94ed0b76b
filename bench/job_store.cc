// What it costs to keep jobs: submits a second by how many come at once, the floor that the disk
// sets for each, and a restart with many queued.
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <expected>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <mutex>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <CLI/CLI.hpp>

#include "bench/load.h"
#include "bench/socket.h"
#include "server/job_store/sqlite_job_store.h"
#include "tools/histogram.h"

namespace valkyrie::bench {
namespace {

using job_store::SqliteJobStore;
using job_store::StoreOptions;

// Bytes of an encoded spec, about: a name and a command line.
constexpr std::size_t kCommandBytes = 220;
// Changes in flight of a submitter that does not wait for each.
constexpr jobs::Change kPipelined = 8'192;

struct Settings {
  std::string directory;
  std::uint64_t jobs = 50'000;
  std::uint64_t queued = 1'000'000;
  double time_s = 2.0;
};

double seconds_since(std::uint64_t start_ns) {
  return static_cast<double>(now_ns() - start_ns) / 1e9;
}

// Memory of this process that is its own and present, bytes.
std::uint64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  in >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

jobs::JobRecord make_record(jobs::Row row) {
  return {.id = jobs::JobId::make(1'795'521'600'000, 1, row, 7),
          .spec = {.name = "bench", .commands = {std::string(kCommandBytes, 'x')}},
          .submitter = "bench"};
}

// A store, and a wait for what it has made durable.
class Bench {
 public:
  explicit Bench(Settings settings) : settings_(std::move(settings)) {}

  [[nodiscard]] std::expected<void, std::string> run() {
    std::filesystem::create_directories(settings_.directory);
    measure_sync("sync of 4 KiB", 4'096);
    measure_sync("sync of 8 KiB", 8'192);
    if (auto opened = open(); !opened) return std::unexpected(opened.error());
    for (const std::uint64_t batch : {1u, 64u, 512u}) measure_batches(batch);
    measure_pipelined();
    return measure_restart();
  }

 private:
  // What any store pays for one promise: bytes appended to a file and synced.
  void measure_sync(std::string_view name, std::size_t bytes) {
    const std::string path = settings_.directory + "/floor";
    const Descriptor file(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    const std::string block(bytes, 'x');
    tools::Histogram histogram;
    const std::uint64_t start = now_ns();
    while (seconds_since(start) < settings_.time_s) {
      const std::uint64_t begin = now_ns();
      if (::write(file.get(), block.data(), block.size()) < 0 || ::fdatasync(file.get()) != 0) {
        fmt::print(stderr, "job_store: cannot write {}\n", path);
        return;
      }
      histogram.record(now_ns() - begin);
    }
    print(name, histogram.count(), seconds_since(start), histogram);
    std::filesystem::remove(path);
  }

  // One submitter that waits until its batch is durable before it sends the next.
  void measure_batches(std::uint64_t batch) {
    tools::Histogram histogram;
    const std::uint64_t start = now_ns();
    std::uint64_t jobs = 0;
    while (seconds_since(start) < settings_.time_s && jobs < settings_.jobs) {
      const std::uint64_t begin = now_ns();
      jobs::Change last = 0;
      for (std::uint64_t i = 0; i < batch; ++i) last = store_->insert(make_record(row_++));
      wait(last);
      histogram.record(now_ns() - begin);
      jobs += batch;
    }
    print(fmt::format("submits, {} at a time", batch), jobs, seconds_since(start), histogram);
  }

  // Submitters that together have up to kPipelined in flight.
  void measure_pipelined() {
    const std::uint64_t start = now_ns();
    const std::uint64_t commits = store_->figures().commits;
    jobs::Change last = 0;
    for (std::uint64_t i = 0; i < settings_.jobs; ++i) {
      last = store_->insert(make_record(row_++));
      if (last > kPipelined) wait(last - kPipelined);
    }
    wait(last);
    print("submits, pipelined", settings_.jobs, seconds_since(start), {});
    fmt::print("{:<26} {:>12}\n", "  in commits", store_->figures().commits - commits);
  }

  // Fills the queue, stops, starts.
  std::expected<void, std::string> measure_restart() {
    while (row_ <= settings_.queued) {
      const jobs::Change last = store_->insert(make_record(row_++));
      if (last > kPipelined) wait(last - kPipelined);
    }
    store_.reset();
    const auto file = std::filesystem::file_size(settings_.directory + "/jobs/jobs.db");
    const std::uint64_t before = resident_bytes();
    const std::uint64_t start = now_ns();
    const auto jobs = open();
    if (!jobs) return std::unexpected(jobs.error());
    const double seconds = seconds_since(start);
    const auto count = static_cast<double>(jobs->live.size());
    fmt::print("{:<26} {:>12} {:>12.2f} s\n", "restart, jobs queued", jobs->live.size(), seconds);
    fmt::print("{:<26} {:>12.0f} B\n", "  on the disk, each", static_cast<double>(file) / count);
    fmt::print("{:<26} {:>12.0f} B\n", "  read into memory, each",
               static_cast<double>(resident_bytes() - before) / count);
    return {};
  }

  std::expected<jobs::StoredJobs, std::string> open() {
    ++options_.epoch;
    options_.on_durable = [this] {
      {
        const std::lock_guard lock(mutex_);
      }
      risen_.notify_all();
    };
    options_.log = [](std::string_view line) { fmt::print(stderr, "job_store: {}\n", line); };
    options_.now_ms = [] {
      return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                            std::chrono::system_clock::now().time_since_epoch())
                                            .count());
    };
    auto opened = SqliteJobStore::open(settings_.directory + "/jobs", options_);
    if (!opened) return std::unexpected(opened.error());
    store_ = std::move(opened->store);
    return std::move(opened->jobs);
  }

  void wait(jobs::Change change) {
    if (store_->durable() >= change) return;
    std::unique_lock lock(mutex_);
    risen_.wait(lock, [&] { return store_->durable() >= change; });
  }

  static void print(std::string_view name, std::uint64_t count, double seconds,
                    const tools::Histogram& histogram) {
    fmt::print("{:<26} {:>12.0f} /s", name, static_cast<double>(count) / seconds);
    if (histogram.count() > 0) {
      fmt::print("   p50 {:>9.1f} us   p99 {:>9.1f} us",
                 static_cast<double>(histogram.value_at_ns(0.5)) / 1e3,
                 static_cast<double>(histogram.value_at_ns(0.99)) / 1e3);
    }
    fmt::print("\n");
    std::fflush(stdout);
  }

  Settings settings_;
  StoreOptions options_{.epoch = 0};
  std::mutex mutex_;
  std::condition_variable risen_;
  jobs::Row row_ = 1;
  std::unique_ptr<SqliteJobStore> store_;  // Goes first: its threads ring.
};

int run(int argc, char** argv) {
  CLI::App app{"Jobs that are kept: submits a second, their floor, a restart"};
  Settings settings;
  app.add_option("--directory", settings.directory, "an empty or missing folder on the disk")
      ->required();
  app.add_option("--jobs", settings.jobs, "submits of each kind, at most");
  app.add_option("--queued", settings.queued, "jobs that wait at the restart");
  app.add_option("--time", settings.time_s, "seconds of each kind, at most");
  CLI11_PARSE(app, argc, argv);
  if (std::filesystem::exists(settings.directory + "/jobs")) {
    fmt::print(stderr, "job_store: {} is not empty\n", settings.directory);
    return 1;
  }
  if (const auto done = Bench(settings).run(); !done) {
    fmt::print(stderr, "job_store: {}\n", done.error());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::run(argc, argv); }
