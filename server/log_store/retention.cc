#include "server/log_store/retention.h"

#include <algorithm>
#include <system_error>
#include <unordered_map>

#include "server/log_store/log_name.h"

namespace valkyrie::log_store {
namespace {

constexpr std::uint64_t kMinuteMs = 60'000;

}  // namespace

void Retention::begin(std::uint64_t now_unix_ms) {
  now_ms_ = now_unix_ms;
  result_ = {};
  bytes_by_minute_.clear();
  last_minute_.reset();
  next_folder_ = 0;
  auto folders = disk_.folders();
  if (!folders) note(folders.error());
  folders_ = folders ? std::move(*folders) : std::vector<std::string>();
}

bool Retention::step() {
  if (next_folder_ == folders_.size() && !begin_second_pass()) return false;
  for (const StoredLog& log : logs_in(folders_[next_folder_])) look_at(log);
  ++next_folder_;
  return next_folder_ < folders_.size() || !last_minute_;
}

// Only if what the first pass left is still too much.
bool Retention::begin_second_pass() {
  if (last_minute_ || folders_.empty() || !limits_.bytes_max) return false;
  if (result_.kept_bytes <= *limits_.bytes_max) return false;
  std::uint64_t left = result_.kept_bytes;
  for (const auto& [minute, bytes] : bytes_by_minute_) {
    if (left <= *limits_.bytes_max) break;
    left -= bytes;
    last_minute_ = minute;
  }
  next_folder_ = 0;
  return last_minute_.has_value();
}

void Retention::look_at(const StoredLog& log) {
  const std::uint64_t minute = log.changed_ms / kMinuteMs;
  if (last_minute_) {
    const bool goes = minute <= *last_minute_ && result_.kept_bytes > *limits_.bytes_max;
    if (!goes || !remove(log)) return;
    --result_.kept_logs;
    result_.kept_bytes -= std::min(log.bytes, result_.kept_bytes);
    return;
  }
  const auto age_max = static_cast<std::uint64_t>(limits_.age_max.count());
  if (log.changed_ms + age_max < now_ms_ && remove(log)) return;
  ++result_.kept_logs;
  result_.kept_bytes += log.bytes;
  bytes_by_minute_[minute] += log.bytes;
}

bool Retention::remove(const StoredLog& log) {
  if (!board_.begin_remove(log.id)) return false;
  reader_.forget(log.id);
  const std::string folder = folder_of(log.id);
  // The index last: one that a crash leaves alone is no log.
  std::error_code error = disk_.remove(folder, data_name(log.id));
  if (!error) error = disk_.remove(folder, index_name(log.id));
  board_.end_remove(log.id);
  if (error) {
    note(error);
    return false;
  }
  ++result_.logs;
  result_.bytes += log.bytes;
  return true;
}

std::vector<Retention::StoredLog> Retention::logs_in(const std::string& folder) {
  auto files = disk_.files(folder);
  if (!files) {
    note(files.error());
    return {};
  }
  std::unordered_map<std::string, std::uint64_t> bytes;
  for (const StoredFile& file : *files) bytes[file.name] = file.bytes;
  std::vector<StoredLog> logs;
  for (const StoredFile& file : *files) {
    const auto id = log_of_data_name(file.name);
    if (!id || folder_of(*id) != folder) continue;
    const auto index = bytes.find(index_name(*id));
    logs.push_back({.id = *id,
                    .bytes = file.bytes + (index == bytes.end() ? 0 : index->second),
                    .changed_ms = file.changed_ms});
  }
  return logs;
}

void Retention::note(std::error_code error) {
  if (result_.error.empty()) result_.error = error.message();
}

}  // namespace valkyrie::log_store
