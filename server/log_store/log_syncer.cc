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
  std::set<std::string> folders;
  for (; !group.empty(); group.pop_front(), --backlog_) sync(group.front(), folders);
}

void LogSyncer::sync(const SyncRequest& request, std::set<std::string>& folders) {
  check(request.data->sync(), request.log, "bytes");
  if (request.index) check(request.index->sync(), request.log, "index");
  if (request.names) {
    const std::string folder = folder_of(request.log);
    if (folders.insert(folder).second) check(disk_.sync_folder(folder), request.log, "folder");
    if (known_folders_.insert(folder).second) check(disk_.sync_folder(""), request.log, "folders");
  }
  if (!request.finished) {
    board_.synced(request.log, request.bytes);
  } else if (request.digest) {
    board_.safe(request.log, request.bytes, *request.digest);
  } else {
    hash_later_(request.log, request.bytes);
  }
}

}  // namespace valkyrie::log_store
