#include "server/node/registry_watches.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace valkyrie::server {

using messages::WatchEvent;
using protocol::StatusCode;

std::optional<std::string> denial_of_watch(policy::Gate* gate, std::string_view prefix,
                                           protocol::Instant now) {
  const std::string all = std::string(prefix) + '*';
  return policy::denial_of(gate, policy::Action::watch, {.name = all}, {.now = now});
}

void RegistryWatches::open(router::LocalStream stream, std::shared_ptr<policy::Gate> gate) {
  const bool too_many = watchers_.size() >= kWatchesMax;
  Watcher& watcher = watchers_[stream.id()];
  watcher.stream = stream;
  watcher.gate = std::move(gate);
  if (too_many) refuse(watcher, StatusCode::resource_exhausted, "too many watch this node");
}

void RegistryWatches::refuse(Watcher& watcher, StatusCode code, std::string_view text) {
  watcher.over = true;
  watcher.waiting.clear();
  watcher.stream.end({code, protocol::Outcome::not_executed, text});
}

void RegistryWatches::on_message(router::LocalStream stream, std::span<const std::byte> body,
                                 protocol::Instant now) {
  Watcher& watcher = watchers_.at(stream.id());
  if (watcher.over) return;
  auto request = messages::decode<messages::WatchRequest>(body);
  if (!request) return refuse(watcher, StatusCode::invalid_argument, "the body is not readable");
  if (watcher.started) {
    return refuse(watcher, StatusCode::invalid_argument, "a watch has one request");
  }
  if (const auto denial = denial_of_watch(watcher.gate.get(), request->prefix, now)) {
    return refuse(watcher, StatusCode::permission_denied, *denial);
  }
  watcher.started = true;
  watcher.prefix = std::move(request->prefix);
  start(watcher, now);
}

// Whatever it knew, it begins anew.
void RegistryWatches::start(Watcher& watcher, protocol::Instant now) {
  watcher.lags = false;
  watcher.waiting.clear();
  watcher.changes = 0;
  for (messages::WatchSnapshot& part : catalog_.snapshot(watcher.prefix, now)) {
    part.revision = revision_;
    watcher.waiting.push_back(messages::encode(WatchEvent(std::move(part))));
  }
  pump(watcher, now);
}

void RegistryWatches::pump(Watcher& watcher, protocol::Instant now) {
  while (watcher.stream.writable()) {
    if (watcher.waiting.empty()) {
      if (watcher.lags) start(watcher, now);
      return;
    }
    watcher.stream.send(watcher.waiting.front());
    watcher.waiting.pop_front();
    // The snapshot stands before all changes.
    watcher.changes = std::min(watcher.changes, watcher.waiting.size());
  }
}

void RegistryWatches::on_writable(std::uint64_t stream, protocol::Instant now) {
  const auto watcher = watchers_.find(stream);
  if (watcher != watchers_.end() && !watcher->second.over) pump(watcher->second, now);
}

void RegistryWatches::end_all() {
  for (auto& [id, watcher] : watchers_) {
    if (watcher.over) continue;
    refuse(watcher, StatusCode::unavailable, "this node is draining; watch another");
  }
}

void RegistryWatches::on_change(std::uint64_t revision, const registry::InstanceInfo& info,
                                bool removed, protocol::Instant now) {
  revision_ = revision;
  std::string encoded;
  for (auto& [id, watcher] : watchers_) {
    if (!watcher.started || watcher.over || watcher.lags) continue;
    if (!info.service.starts_with(watcher.prefix)) continue;
    if (watcher.changes == kWatchBacklogMax) {
      // What is left of a snapshot that it has begun goes on, so that it ends.
      watcher.waiting.resize(watcher.waiting.size() - watcher.changes);
      watcher.changes = 0;
      watcher.lags = true;
      continue;
    }
    if (encoded.empty()) {
      messages::WatchChange change{
          .revision = revision, .service = info.service, .instance = {}, .removed = removed};
      std::optional<messages::InstanceView> view;
      if (!removed) view = catalog_.view_of(info.id, now);
      if (view) {
        change.instance = *std::move(view);
      } else {
        change.instance.instance = info.instance;
      }
      encoded = messages::encode(WatchEvent(std::move(change)));
    }
    watcher.waiting.push_back(encoded);
    ++watcher.changes;
    pump(watcher, now);
  }
}

}  // namespace valkyrie::server
