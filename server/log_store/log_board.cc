#include "server/log_store/log_board.h"

#include <algorithm>
#include <cstring>
#include <variant>

#include "protocol/assert.h"

namespace valkyrie::log_store {

using jobs::LogGrew;
using jobs::LogId;
using jobs::LogNews;
using jobs::LogSafe;

void LogBoard::expect(const LogId& log) {
  const std::lock_guard lock(mutex_);
  live_.try_emplace(log);
}

void LogBoard::wrote(const LogId& log, const LogExtent& extent) {
  bool needed = false;
  {
    const std::lock_guard lock(mutex_);
    Live& live = live_.at(log);
    const bool grew = !live.extent || live.extent->bytes != extent.bytes;
    live.extent = extent;
    if (grew) needed = tell_growth(log, live);
  }
  wake(needed);
}

void LogBoard::synced(const LogId& log, std::uint64_t bytes) {
  bool needed = false;
  {
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(log);
    if (found == live_.end() || found->second.synced >= bytes) return;
    found->second.synced = bytes;
    needed = tell_growth(log, found->second);
  }
  wake(needed);
}

void LogBoard::safe(const LogId& log, std::uint64_t bytes, const protocol::crypto::Digest& digest) {
  LogSafe news{.log = log, .bytes = bytes};
  std::memcpy(news.sha256.data(), digest.data(), digest.size());
  bool needed = false;
  {
    const std::lock_guard lock(mutex_);
    live_.erase(log);
    needed = add(news);
  }
  wake(needed);
}

void LogBoard::say(LogNews news) {
  bool needed = false;
  {
    const std::lock_guard lock(mutex_);
    needed = add(std::move(news));
  }
  wake(needed);
}

std::optional<LogNews> LogBoard::poll() {
  const std::lock_guard lock(mutex_);
  asleep_ = news_.empty();
  if (asleep_) return std::nullopt;
  if (const auto* const grew = std::get_if<LogGrew>(&news_.front())) {
    const auto found = live_.find(grew->log);
    if (found != live_.end() && found->second.told == grew) found->second.told = nullptr;
  }
  std::optional<LogNews> first(std::move(news_.front()));
  news_.pop_front();
  return first;
}

bool LogBoard::live(const LogId& log) const {
  const std::lock_guard lock(mutex_);
  return live_.contains(log);
}

std::optional<LogExtent> LogBoard::extent(const LogId& log) const {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(log);
  return found == live_.end() ? std::nullopt : found->second.extent;
}

bool LogBoard::begin_read(const LogId& log) {
  const std::lock_guard lock(mutex_);
  if (removed_.contains(log)) return false;
  read_.insert(log);
  return true;
}

void LogBoard::end_read(const LogId& log) {
  const std::lock_guard lock(mutex_);
  read_.erase(read_.find(log));
}

bool LogBoard::begin_remove(const LogId& log) {
  const std::lock_guard lock(mutex_);
  return !live_.contains(log) && !read_.contains(log) && removed_.insert(log).second;
}

void LogBoard::end_remove(const LogId& log) {
  const std::lock_guard lock(mutex_);
  removed_.erase(log);
}

bool LogBoard::being_removed(const LogId& log) const {
  const std::lock_guard lock(mutex_);
  return removed_.contains(log);
}

bool LogBoard::tell_growth(const LogId& log, Live& live) {
  const LogGrew news{
      .log = log, .written = live.extent ? live.extent->bytes : 0, .synced = live.synced};
  if (live.told != nullptr) {
    *live.told = news;
    return false;
  }
  const bool needed = add(news);
  live.told = &std::get<LogGrew>(news_.back());  // Stays there: only the ends of news_ change.
  return needed;
}

bool LogBoard::add(LogNews news) {
  news_.push_back(std::move(news));
  return std::exchange(asleep_, false);
}

void LogBoard::wake(bool needed) const {
  if (needed && on_news_) on_news_();
}

}  // namespace valkyrie::log_store
