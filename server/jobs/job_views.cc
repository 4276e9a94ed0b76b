// What the job plane answers when it is asked: why jobs wait, and views of jobs and runners.
#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "server/jobs/job_plane.h"

namespace valkyrie::jobs {

using protocol::Duration;
using protocol::Instant;
using protocol::StatusCode;

namespace {

// Jobs a list shows where none is asked for.
constexpr std::uint32_t kListLimitDefault = 100;

std::uint64_t nanoseconds(Duration duration) {
  return static_cast<std::uint64_t>(std::max(duration, Duration::zero()).count());
}

}  // namespace

messages::Waiting JobPlane::why(const Shape& shape) const {
  messages::Waiting waiting;
  std::vector<const Runner*> ready;
  for (const auto& [id, runner] : runners_) {
    if (runner.slots != 0) ready.push_back(&runner);
  }
  const auto matching = [&](const Constraint* without) {
    return std::ranges::count_if(ready, [&](const Runner* runner) {
      return std::ranges::all_of(shape.constraints, [&](const Constraint& constraint) {
        return &constraint == without || constraint.holds(runner->labels);
      });
    });
  };
  waiting.runners = static_cast<std::uint32_t>(ready.size());
  waiting.runners_matching = static_cast<std::uint32_t>(matching(nullptr));
  if (runners_.empty()) {
    waiting.reason = messages::WaitReason::no_match;
    waiting.text = "no runner is connected";
  } else if (ready.empty()) {
    waiting.reason = messages::WaitReason::draining;
    waiting.text = fmt::format("every runner drains ({})", runners_.size());
  } else if (waiting.runners_matching == 0) {
    waiting.reason = messages::WaitReason::no_match;
    waiting.text = "no runner matches";
    for (const Constraint& constraint : shape.constraints) {
      const auto alone = std::ranges::count_if(
          ready, [&](const Runner* runner) { return constraint.holds(runner->labels); });
      if (alone == std::ssize(ready)) continue;
      const std::string text = fmt::format("; {}: {} of {}, without it {}", constraint.text(),
                                           alone, ready.size(), matching(&constraint));
      if (waiting.text.size() + text.size() > messages::kTextBytesMax) break;
      waiting.text += text;
    }
  } else {
    waiting.reason = messages::WaitReason::no_capacity;
    waiting.text = fmt::format("all matching runners are busy ({} of {} match)",
                               waiting.runners_matching, waiting.runners);
  }
  return waiting;
}

void JobPlane::tell_why(Shape& shape) {
  messages::Waiting waiting = why(shape);
  if (waiting == shape.why) return;
  shape.why = std::move(waiting);
  for (const Row row : shape.waiting) emit(live_.at(row), shape.why);
}

void JobPlane::tell_why_all() {
  for (auto& [key, shape] : queue_.shapes()) tell_why(*shape);
}

void JobPlane::visit(const JobIdRange& range,
                     const std::function<bool(const JobRecord&)>& visit) const {
  for (auto at = records_.upper_bound(range.last); at != records_.begin();) {
    --at;
    if (at->first < range.first || !visit(at->second)) return;
  }
}

std::expected<JobId, Refused> JobPlane::resolve(std::string_view text) const {
  const auto range = JobIdRange::of_prefix(text);
  if (!range || text.empty() || text == "job_") {
    return refuse(StatusCode::invalid_argument, fmt::format("\"{}\" is no job id", text));
  }
  std::vector<JobId> found;
  visit(*range, [&](const JobRecord& record) {
    found.push_back(record.id);
    return found.size() < 2;
  });
  if (found.empty()) return refuse(StatusCode::not_found, fmt::format("no job {}", text));
  if (found.size() > 1) {
    return refuse(StatusCode::invalid_argument,
                  fmt::format("{} begins several job ids; write more of it", text));
  }
  return found.front();
}

messages::JobView JobPlane::view(const JobRecord& record, Instant now) const {
  const std::uint64_t age_ms =
      std::max(options_.unix_ms(), record.id.unix_ms()) - record.id.unix_ms();
  messages::JobView view{.job = record.id.text(),
                         .name = record.spec.name,
                         .state = record.status.state,
                         .attempt = record.status.attempt,
                         .runner = record.status.runner,
                         .submitted_unix_ms = record.id.unix_ms(),
                         .age_ns = nanoseconds(std::chrono::milliseconds(age_ms)),
                         .result = record.status.result,
                         .require = record.spec.require};
  const auto live = live_.find(record.id.row());
  if (live == live_.end()) return view;
  view.age_ns = nanoseconds(now - live->second.submitted);
  if (live->second.shape != nullptr) view.waiting = live->second.shape->why;
  return view;
}

std::expected<messages::JobView, Refused> JobPlane::get(const messages::GetJobRequest& request,
                                                        Instant now) const {
  const auto id = resolve(request.job);
  if (!id) return std::unexpected(id.error());
  return view(records_.at(*id), now);
}

messages::ListJobsReply JobPlane::list(const messages::ListJobsRequest& request,
                                       Instant now) const {
  const std::size_t limit = request.limit == 0 ? kListLimitDefault : request.limit;
  messages::ListJobsReply reply;
  reply.total = request.live_only ? live_.size() : records_.size();
  visit(*JobIdRange::of_prefix(""), [&](const JobRecord& record) {
    if (request.live_only && messages::is_end(record.status.state)) return true;
    reply.jobs.push_back(view(record, now));
    return reply.jobs.size() < limit;
  });
  return reply;
}

messages::ListRunnersReply JobPlane::list_runners(Instant now) const {
  messages::ListRunnersReply reply;
  for (const auto& [id, runner] : runners_) {
    if (reply.runners.size() == messages::kListEntriesMax) break;
    messages::RunnerView view{.name = runner.hello.name,
                              .boot_id = runner.hello.boot_id,
                              .version = runner.hello.version,
                              .isolation = runner.hello.isolation,
                              .slots = runner.slots,
                              .slots_busy = static_cast<std::uint32_t>(runner.tokens.size()),
                              .draining = runner.slots == 0,
                              .labels = runner.hello.labels,
                              .age_ns = nanoseconds(now - runner.joined)};
    for (const std::uint64_t token : runner.tokens) {
      view.jobs.push_back(attempts_.at(token).job.text());
    }
    reply.runners.push_back(std::move(view));
  }
  std::ranges::sort(reply.runners, {}, &messages::RunnerView::name);
  return reply;
}

}  // namespace valkyrie::jobs
