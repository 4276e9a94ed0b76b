#include "server/log_store/file_log_store.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "server/log_store/log_name.h"

namespace valkyrie::log_store {

using jobs::LogId;
using protocol::Instant;

namespace {

Instant system_now() { return Instant(std::chrono::steady_clock::now().time_since_epoch()); }

}  // namespace

std::expected<std::unique_ptr<FileLogStore>, std::string> FileLogStore::open(
    const std::string& directory, FileLogStoreOptions options) {
  auto disk = open_log_disk(directory);
  if (!disk) return std::unexpected(std::move(disk.error()));
  return std::make_unique<FileLogStore>(std::move(*disk), std::move(options));
}

FileLogStore::FileLogStore(std::unique_ptr<LogDisk> disk, FileLogStoreOptions options)
    : options_(std::move(options)),
      disk_(std::move(disk)),
      board_(options_.on_news),
      syncer_(*disk_, board_,
              [this](const LogId& log, std::uint64_t bytes) {
                tasks_.push(HashTask{.log = log, .bytes = bytes});
              }),
      writer_(*disk_, board_, syncer_, options_.writer),
      reader_(*disk_, board_, options_.read_logs_max),
      retention_(*disk_, board_, reader_, options_.retention) {
  for (std::size_t i = 0; i < std::max<std::size_t>(options_.reader_threads, 1); ++i) {
    read_threads_.emplace_back([this](const std::stop_token& stop) { read_until(stop); });
  }
  sync_thread_ = std::jthread([this](const std::stop_token& stop) { sync_until(stop); });
  write_thread_ = std::jthread([this](const std::stop_token& stop) { write_until(stop); });
}

FileLogStore::~FileLogStore() {
  write_thread_.request_stop();
  write_thread_.join();
  sync_thread_.request_stop();
  sync_thread_.join();
}

void FileLogStore::append(const LogId& log, messages::OutputStream stream, std::uint64_t offset,
                          std::uint64_t unix_ms, std::string data) {
  board_.expect(log);
  commands_.push(AppendCommand{
      .log = log,
      .piece = {.stream = stream, .offset = offset, .unix_ms = unix_ms, .data = std::move(data)}});
}

void FileLogStore::finish(const LogId& log) {
  board_.expect(log);
  commands_.push(FinishCommand{log});
}

void FileLogStore::read(const LogId& log, std::uint64_t offset, std::size_t max,
                        jobs::ReadTicket ticket) {
  tasks_.push(ReadTask{.log = log, .offset = offset, .max = max, .ticket = ticket});
}

std::optional<jobs::LogNews> FileLogStore::poll() { return board_.poll(); }

std::uint64_t FileLogStore::length(const LogId& log) {
  board_.expect(log);
  if (board_.being_removed(log)) return 0;
  return disk_->size(folder_of(log), data_name(log)).value_or(0);
}

void FileLogStore::prune(std::uint64_t now_unix_ms) {
  if (pruning_.exchange(true)) return;
  tasks_.push(PruneTask{.begin_ms = now_unix_ms});
}

void FileLogStore::write_until(const std::stop_token& stop) {
  const auto now = options_.now ? options_.now : system_now;
  std::optional<protocol::Duration> wait;
  while (true) {
    for (WriterCommand& command : commands_.wait_all(stop, wait)) writer_.take(std::move(command));
    const Instant before = now();
    const auto next = writer_.work(before);
    wait.reset();
    if (next) wait = std::max(*next - before, protocol::Duration(0));
    if (stop.stop_requested()) break;
  }
  writer_.sync_all();
}

void FileLogStore::sync_until(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    syncer_.run(stop);
    commands_.push(LookCommand{});
  }
  syncer_.run();
}

void FileLogStore::read_until(const std::stop_token& stop) {
  while (auto task = tasks_.wait_one(stop)) {
    if (stop.stop_requested()) return;
    std::visit([this](auto& what) { perform(what); }, *task);
  }
}

void FileLogStore::perform(ReadTask& task) {
  auto pieces = reader_.read(task.log, task.offset, task.max);
  if (pieces) {
    board_.say(jobs::LogRead{.ticket = task.ticket, .pieces = std::move(*pieces)});
  } else {
    board_.say(jobs::LogReadFailed{.ticket = task.ticket, .text = std::move(pieces.error())});
  }
}

void FileLogStore::perform(HashTask& task) {
  const auto done = reader_.hash(task);
  if (!done) {
    commands_.push(FinishAgainCommand{.log = task.log, .error = done.error()});
  } else if (*done) {
    board_.safe(task.log, task.bytes, task.hash.digest());
  } else {
    tasks_.push(std::move(task));
  }
}

void FileLogStore::perform(PruneTask& task) {
  if (task.begin_ms) retention_.begin(*task.begin_ms);
  if (retention_.step()) {
    tasks_.push(PruneTask{});
    return;
  }
  const Pruned result = retention_.result();
  pruning_ = false;
  if (options_.on_pruned) options_.on_pruned(result);
}

}  // namespace valkyrie::log_store
