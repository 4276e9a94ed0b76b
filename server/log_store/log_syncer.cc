#include "server/log_store/log_syncer.h"

#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <system_error>
#include <utility>

#include "server/log_store/log_name.h"

namespace valkyrie::log_store {
namespace {

// After a failed sync the kernel may have dropped what it could not write, and a second one would
// say that all is well.
void check(std::error_code error, const jobs::LogId& log, std::string_view what) {
  if (!error) return;
  fmt::print(stderr,
             "cannot sync the {} of log {}: {}; the node stops, as nobody can know what the disk "
             "has kept\n",
             what, text_of(log), error.message());
  std::abort();
}

}  // namespace

void LogSyncer::add(SyncRequest request) {
  ++backlog_;
  inbox_.push(std::move(request));
}

void LogSyncer::run(const std::stop_token& stop) { sync(inbox_.wait_all(stop, std::nullopt)); }

void LogSyncer::run() { sync(inbox_.take_all()); }

void LogSyncer::sync(std::deque<SyncRequest> group) {
  // All at once, so that one commit of the file system's journal has most of it.
  for (const SyncRequest& request : group) {
    request.data->begin_sync();
    if (request.index) request.index->begin_sync();
  }
  for (const SyncRequest& request : group) {
    check(request.data->sync(), request.log, "bytes");
    if (request.index) check(request.index->sync(), request.log, "index");
  }
  sync_names(group);
  for (; !group.empty(); group.pop_front(), --backlog_) publish(group.front());
}

// Each folder once for all of the group, and that of the folders once for all that are new.
void LogSyncer::sync_names(const std::deque<SyncRequest>& group) {
  std::set<std::string> folders;
  bool fresh = false;
  for (const SyncRequest& request : group) {
    if (!request.names) continue;
    const std::string folder = folder_of(request.log);
    if (!folders.insert(folder).second) continue;
    check(disk_.sync_folder(folder), request.log, "folder");
    fresh = known_folders_.insert(folder).second || fresh;
  }
  if (fresh) check(disk_.sync_folder(""), group.front().log, "folders");
}

void LogSyncer::publish(const SyncRequest& request) {
  if (!request.finished) {
    board_.synced(request.log, request.bytes);
  } else if (request.digest) {
    board_.safe(request.log, request.bytes, *request.digest);
  } else {
    hash_later_(request.log, request.bytes);
  }
}

}  // namespace valkyrie::log_store
