// What the threads of a store tell each other and the caller: how far each log is, and news.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "protocol/crypto/digest.h"
#include "server/jobs/log_store.h"

namespace valkyrie::log_store {

// What a log has that its readers may have.
struct LogExtent {
  std::uint64_t bytes = 0;
  std::uint64_t index_records = 0;
};

// Any thread. A log is *live* from expect() to safe().
class LogBoard {
 public:
  // `on_news` is called when there is news after poll() found none, on the thread that has it and
  // without a lock.
  explicit LogBoard(std::function<void()> on_news) : on_news_(std::move(on_news)) {}

  // The log is live from now on.
  void expect(const jobs::LogId& log);
  // A live log has this much in its files, and tells it.
  void wrote(const jobs::LogId& log, const LogExtent& extent);
  // What is below `bytes` of a live log is on the disk.
  void synced(const jobs::LogId& log, std::uint64_t bytes);
  // All of a log is on the disk, and nothing follows.
  void safe(const jobs::LogId& log, std::uint64_t bytes, const protocol::crypto::Digest& digest);
  // Other news.
  void say(jobs::LogNews news);
  // The oldest news.
  [[nodiscard]] std::optional<jobs::LogNews> poll();

  // True between expect() and safe().
  [[nodiscard]] bool live(const jobs::LogId& log) const;
  // How far a live log is; nullopt if it is not live or nothing was told yet: its file knows.
  [[nodiscard]] std::optional<LogExtent> extent(const jobs::LogId& log) const;

  // A log is read until end_read(); false: it is being removed, and is not.
  [[nodiscard]] bool begin_read(const jobs::LogId& log);
  void end_read(const jobs::LogId& log);
  // True if the log is neither live nor read: it is being removed until end_remove().
  [[nodiscard]] bool begin_remove(const jobs::LogId& log);
  void end_remove(const jobs::LogId& log);
  // True between the two. Of a live log it cannot become true.
  [[nodiscard]] bool being_removed(const jobs::LogId& log) const;

 private:
  struct Live {
    std::optional<LogExtent> extent;
    std::uint64_t synced = 0;
    jobs::LogGrew* told = nullptr;  // What was told and not polled yet; in news_.
  };
  // Called with the mutex held; true: on_news_ is to be called without it.
  [[nodiscard]] bool tell_growth(const jobs::LogId& log, Live& live);
  [[nodiscard]] bool add(jobs::LogNews news);
  void wake(bool needed) const;

  const std::function<void()> on_news_;
  mutable std::mutex mutex_;  // Guards all below.
  std::map<jobs::LogId, Live> live_;
  std::multiset<jobs::LogId> read_;
  std::set<jobs::LogId> removed_;  // Being removed now.
  std::deque<jobs::LogNews> news_;
  bool asleep_ = true;  // poll() found nothing.
};

}  // namespace valkyrie::log_store
