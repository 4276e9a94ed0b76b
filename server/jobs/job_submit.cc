// How jobs come in: what is refused, keys that make a submit repeatable, and the queue's first
// word.
#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "protocol/assert.h"
#include "server/jobs/job_plane.h"

namespace valkyrie::jobs {

using protocol::Duration;
using protocol::Instant;
using protocol::StatusCode;

namespace {

Duration or_default(std::uint64_t ms, Duration otherwise) {
  return ms == 0 ? otherwise : Duration(std::chrono::milliseconds(ms));
}

std::size_t size_of(const messages::JobSpec& spec) {
  std::size_t bytes = sizeof(JobRecord) + spec.name.size();
  for (const auto* list : {&spec.argv, &spec.commands, &spec.require}) {
    for (const std::string& entry : *list) bytes += sizeof(entry) + entry.size();
  }
  for (const auto& [name, value] : spec.environment) {
    bytes += 2 * sizeof(name) + name.size() + value.size();
  }
  return bytes;
}

}  // namespace

std::expected<std::vector<Constraint>, std::string> constraints_of(const messages::JobSpec& spec) {
  std::vector<Constraint> constraints;
  for (const std::string& text : spec.require) {
    auto constraint = Constraint::parse(text);
    if (!constraint) return std::unexpected(std::move(constraint.error()));
    constraints.push_back(std::move(*constraint));
  }
  return constraints;
}

std::string too_many_shapes() {
  return fmt::format("jobs with {} different label sets wait already", kShapesMax);
}

std::optional<Refused> JobPlane::why_not_submit(std::size_t jobs, std::size_t spec_bytes) const {
  if (draining_) {
    return Refused{StatusCode::unavailable, "the node is going down; submit elsewhere"};
  }
  if (store_.room() == StoreRoom::disk_full) {
    return Refused{StatusCode::resource_exhausted,
                   "the node's disk is full; what is left is kept for jobs that it has"};
  }
  if (store_.room() == StoreRoom::behind) {
    return Refused{StatusCode::resource_exhausted,
                   "the node's disk does not keep up; submit again in a moment"};
  }
  if (live_.size() + jobs > kLiveJobsMax || live_spec_bytes_ + spec_bytes > kLiveSpecBytesMax) {
    return Refused{StatusCode::resource_exhausted,
                   fmt::format("{} jobs are not over; submit again later", live_.size())};
  }
  return std::nullopt;
}

std::expected<Shape*, Refused> JobPlane::enter_queue(Row row, const messages::JobSpec& spec) {
  auto constraints = constraints_of(spec);
  if (!constraints) return refuse(StatusCode::invalid_argument, std::move(constraints.error()));
  Shape* const shape = queue_.push(row, *std::move(constraints));
  if (shape == nullptr) return refuse(StatusCode::resource_exhausted, too_many_shapes());
  return shape;
}

std::expected<JobId, Refused> JobPlane::submit(FollowerId stream, messages::JobSpec spec,
                                               Instant now) {
  if (followers_.job_of(stream)) {
    return refuse(StatusCode::invalid_argument, "a stream runs one job; open another");
  }
  if (auto why = why_not_submit(1, size_of(spec))) return std::unexpected(*std::move(why));
  const auto shape = enter_queue(next_row_, spec);
  if (!shape) return std::unexpected(shape.error());
  Live& live = accept(std::move(spec), "", std::nullopt, /*owned=*/true, *shape, now);
  const JobId id = live.record->id;
  live.owner = stream;
  followers_.add(stream, id);
  emit(live, messages::Accepted{id.text()});
  place(id.row(), now);
  if (live.shape != nullptr) {
    live.shape->why = why(*live.shape);
    emit(live, live.shape->why);
  }
  return id;
}

std::expected<Promise<messages::SubmitReply>, Refused> JobPlane::submit_all(
    messages::SubmitRequest request, std::string submitter, std::optional<SubmitKey> key,
    Instant now) {
  Promise<messages::SubmitReply> promise;
  forget_old_keys();
  if (const auto known = key ? known_.find(key->key) : known_.end(); known != known_.end()) {
    if (known->second.body != key->body) {
      return refuse(StatusCode::already_exists,
                    "another request came with this key within 24 hours; use a key only for "
                    "repeating the same request");
    }
    promise.answer.known = true;
    promise.after = known->second.after;
    for (const JobId& id : known->second.jobs) promise.answer.jobs.push_back(id.text());
    return promise;
  }
  if (key && known_.size() >= kSubmitKeysMax) {
    return refuse(StatusCode::resource_exhausted,
                  fmt::format("{} keys came within 24 hours; submit without one", known_.size()));
  }
  std::size_t bytes = 0;
  for (const messages::JobSpec& spec : request.specs) bytes += size_of(spec);
  if (auto why = why_not_submit(request.specs.size(), bytes)) {
    return std::unexpected(*std::move(why));
  }
  std::vector<Shape*> shapes;
  for (const messages::JobSpec& spec : request.specs) {
    const auto shape = enter_queue(next_row_ + shapes.size(), spec);
    if (!shape) {
      for (std::size_t i = 0; i < shapes.size(); ++i) queue_.remove(next_row_ + i, shapes[i]);
      return std::unexpected(shape.error());
    }
    shapes.push_back(*shape);
  }
  std::vector<Row> rows;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const Live& live =
        accept(std::move(request.specs[i]), submitter, key, /*owned=*/false, shapes[i], now);
    promise.answer.jobs.push_back(live.record->id.text());
    rows.push_back(live.record->id.row());
    if (key) remember(*key, live.record->id);
  }
  promise.after = last_change_;
  if (key) known_.at(key->key).after = last_change_;
  for (const Row row : rows) {
    place(row, now);
    Live& live = live_.at(row);
    if (live.shape != nullptr) live.shape->why = why(*live.shape);
  }
  return promise;
}

JobPlane::Live& JobPlane::accept(messages::JobSpec spec, std::string submitter,
                                 std::optional<SubmitKey> key, bool owned, Shape* shape,
                                 Instant now) {
  const Row row = next_row_++;
  ++submitted_count_;
  last_unix_ms_ = std::max(last_unix_ms_, options_.unix_ms());
  const JobId id = JobId::make(last_unix_ms_, options_.node_bits, row,
                               static_cast<std::uint16_t>(options_.random()));
  Live& live = adopt({.id = id,
                      .spec = std::move(spec),
                      .submitter = std::move(submitter),
                      .owned = owned,
                      .key = key},
                     shape, now);
  live.saved = last_change_ = store_.insert(*live.record);
  return live;
}

void JobPlane::remember(const SubmitKey& key, const JobId& id) {
  const auto [known, added] = known_.try_emplace(key.key);
  known->second.body = key.body;
  known->second.jobs.push_back(id);
  if (added) known_since_.emplace_back(id.unix_ms(), key.key);
}

void JobPlane::forget_old_keys() {
  const std::uint64_t now_ms = options_.unix_ms();
  while (!known_since_.empty() && known_since_.front().first + kSubmitKeyMs <= now_ms) {
    known_.erase(known_since_.front().second);
    known_since_.pop_front();
  }
}

JobPlane::Live& JobPlane::adopt(JobRecord record, Shape* shape, Instant submitted) {
  const JobId id = record.id;
  const auto [kept, added] = records_.emplace(id, std::move(record));
  VALKYRIE_ASSERT(added);
  const messages::JobSpec& spec = kept->second.spec;
  Live& live = live_[id.row()];
  live = {.record = &kept->second,
          .shape = shape,
          .submitted = submitted,
          .spec_bytes = size_of(spec),
          .timeout_start = or_default(spec.timeout_start_ms, kTimeoutStartDefault),
          .timeout_run = or_default(spec.timeout_run_ms, kTimeoutRunDefault)};
  live_spec_bytes_ += live.spec_bytes;
  if (shape != nullptr) {
    set_deadline(live, submitted + or_default(spec.timeout_queue_ms, kTimeoutQueueDefault));
  }
  return live;
}

}  // namespace valkyrie::jobs
