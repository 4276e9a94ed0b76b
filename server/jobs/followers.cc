#include "server/jobs/followers.h"

#include <algorithm>
#include <variant>

#include "protocol/assert.h"

namespace valkyrie::jobs {

using messages::Ended;
using messages::JobEvent;
using messages::Waiting;

void Followers::add(FollowerId id, const JobId& job) {
  const bool added = followers_.emplace(id, Follower{.job = job}).second;
  VALKYRIE_ASSERT(added);
  by_job_[job].insert(id);
}

void Followers::remove(FollowerId id) {
  const auto found = followers_.find(id);
  if (found == followers_.end()) return;
  const auto job = by_job_.find(found->second.job);
  job->second.erase(id);
  if (job->second.empty()) by_job_.erase(job);
  followers_.erase(found);
  std::erase_if(held_, [id](const auto& entry) { return entry.second == id; });
}

std::optional<JobId> Followers::job_of(FollowerId id) const {
  const auto found = followers_.find(id);
  if (found == followers_.end()) return std::nullopt;
  return found->second.job;
}

void Followers::tell(FollowerId id, JobEvent event, Change after) {
  Follower& follower = followers_.at(id);
  auto* const last = follower.told.empty() ? nullptr : &follower.told.back();
  if (last != nullptr && std::holds_alternative<Waiting>(event) &&
      std::holds_alternative<Waiting>(last->event)) {
    last->event = std::move(event);  // Only the latest reason matters to who has not read the last.
    return;
  }
  const auto* const end = std::get_if<Ended>(&event);
  const std::uint64_t until =
      end == nullptr || follower.attempt == 0 ? 0 : end->result.output_bytes;
  follower.told.push_back({std::move(event), after, until});
  refresh(id, follower);
}

void Followers::tell_caught_up(FollowerId id) {
  Follower& follower = followers_.at(id);
  follower.told.push_back({messages::CaughtUp{}, 0, readable(follower)});
  refresh(id, follower);
}

void Followers::tell_all(const JobId& job, const JobEvent& event, Change after) {
  const auto found = by_job_.find(job);
  if (found == by_job_.end()) return;
  for (const FollowerId id : found->second) tell(id, event, after);
}

void Followers::open_log(FollowerId id, std::uint32_t attempt, std::uint64_t offset,
                         std::uint64_t written) {
  Follower& follower = followers_.at(id);
  follower.attempt = attempt;
  follower.read = offset;
  follower.written = written;
  refresh(id, follower);
}

void Followers::open_log_for_all(const JobId& job, std::uint32_t attempt) {
  const auto found = by_job_.find(job);
  if (found == by_job_.end()) return;
  for (const FollowerId id : found->second) open_log(id, attempt, 0, 0);
}

void Followers::on_grew(const LogGrew& news) {
  const auto found = by_job_.find(news.log.job);
  if (found == by_job_.end()) return;
  for (const FollowerId id : found->second) {
    Follower& follower = followers_.at(id);
    if (follower.attempt != news.log.attempt) continue;
    follower.written = std::max(follower.written, news.written);
    refresh(id, follower);
  }
}

void Followers::on_read(LogRead news) {
  const auto node = reads_.extract(news.ticket);
  if (node.empty()) return;
  const auto found = followers_.find(node.mapped());
  if (found == followers_.end()) return;
  Follower& follower = found->second;
  follower.reading = false;
  follower.ends_short = news.pieces.empty();
  for (LogPiece& piece : news.pieces) {
    VALKYRIE_ASSERT(piece.offset == follower.read);
    piece.data.resize(
        std::min<std::uint64_t>(piece.data.size(), readable(follower) - piece.offset));
    if (piece.data.empty()) break;
    follower.read += piece.data.size();
    for (std::size_t at = 0; at < piece.data.size(); at += messages::kChunkBytesMax) {
      follower.output.emplace_back(messages::Output{
          piece.stream, piece.offset + at, piece.data.substr(at, messages::kChunkBytesMax)});
    }
  }
  refresh(found->first, follower);
}

void Followers::on_read_failed(const LogReadFailed& news) {
  const auto node = reads_.extract(news.ticket);
  if (node.empty() || !followers_.contains(node.mapped())) return;
  lost_.emplace_back(node.mapped(), news.text);
  remove(node.mapped());
}

void Followers::on_durable() {
  while (!held_.empty() && held_.begin()->first <= store_.durable()) {
    const FollowerId id = held_.begin()->second;
    held_.erase(held_.begin());
    refresh(id, followers_.at(id));
  }
}

std::optional<FollowerId> Followers::poll_ready() {
  if (ready_.empty()) return std::nullopt;
  const FollowerId id = ready_.front();
  ready_.pop_front();
  return id;
}

std::optional<std::pair<FollowerId, std::string>> Followers::poll_lost() {
  if (lost_.empty()) return std::nullopt;
  auto lost = std::move(lost_.front());
  lost_.pop_front();
  return lost;
}

// Where its output ends for now: an attempt that ended without proof may still write to its log.
std::uint64_t Followers::readable(const Follower& follower) {
  const auto* const end =
      follower.told.empty() ? nullptr : std::get_if<Ended>(&follower.told.back().event);
  if (end == nullptr) return follower.written;
  return std::min(follower.written, end->result.output_bytes);
}

// The event whose turn it is, durable or not.
const Followers::Told* Followers::due(const Follower& follower) const {
  if (follower.told.empty()) return nullptr;
  const Told& told = follower.told.front();
  if (told.log_until == 0 || follower.ends_short) return &told;
  return follower.output.empty() && follower.read >= told.log_until ? &told : nullptr;
}

const JobEvent* Followers::next(FollowerId id) const {
  const auto found = followers_.find(id);
  if (found == followers_.end()) return nullptr;
  const Follower& follower = found->second;
  if (const Told* const told = due(follower)) {
    return told->after <= store_.durable() ? &told->event : nullptr;
  }
  return follower.output.empty() ? nullptr : &follower.output.front();
}

void Followers::take(FollowerId id) {
  Follower& follower = followers_.at(id);
  if (due(follower) == nullptr) {
    VALKYRIE_ASSERT(!follower.output.empty());
    follower.output.pop_front();
  } else {
    const bool over = std::holds_alternative<Ended>(follower.told.front().event);
    follower.told.pop_front();
    if (over) return remove(id);
  }
  follower.announced = next(id) != nullptr;
  refresh(id, follower);
}

// After any change: reads on, says what can be taken, and notes what the store must do first.
void Followers::refresh(FollowerId id, Follower& follower) {
  if (!follower.reading && !follower.ends_short && follower.output.empty() &&
      follower.read < readable(follower)) {
    follower.reading = true;
    const ReadTicket ticket = next_ticket_++;
    reads_[ticket] = id;
    logs_.read({follower.job, follower.attempt}, follower.read, kFollowerReadBytes, ticket);
  }
  const Told* const told = due(follower);
  if (told != nullptr && told->after > store_.durable()) {
    held_.emplace(told->after, id);
  } else if (!follower.announced && next(id) != nullptr) {
    follower.announced = true;
    ready_.push_back(id);
  }
}

}  // namespace valkyrie::jobs
