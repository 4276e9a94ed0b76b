// Random submitters, runners and times against the plane. The seed decides everything; a failing
// one is printed, and VALKYRIE_SEED runs it alone.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "server/jobs/job_plane.h"
#include "server/jobs/virtual_job_store.h"
#include "server/jobs/virtual_log_store.h"

namespace valkyrie::jobs {
namespace {

using namespace std::chrono_literals;
using messages::JobState;

constexpr std::size_t kEndedKept = 5;
constexpr int kSteps = 400;
constexpr std::uint64_t kSeeds = 500;

// A runner that keeps the rules, as far as it is let live.
struct ModelAttempt {
  std::string job;
  std::uint64_t limit = 0;
  std::uint64_t cost = 0;
  std::uint64_t offset = 0;
  bool may_run = false;
  bool started = false;
  bool cancelled = false;
};
struct ModelRunner {
  std::uint32_t slots = 0;
  std::map<std::uint64_t, ModelAttempt> attempts;
};
// A reader, and what it must see.
struct ModelSubmitter {
  std::string job;
  bool gone = false;
  bool accepted = false;
  bool ended = false;
  std::uint64_t offset = 0;
};

class World {
 public:
  explicit World(std::uint64_t seed)
      : random_(seed),
        plane_({.node = "n",
                .epoch = 1,
                .unix_ms = [] { return std::uint64_t{1'700'000'000'000}; },
                .random = [this] { return random_(); },
                .ended_jobs_kept = kEndedKept},
               store_, logs_) {
    logs_.held = true;
  }

  void step() {
    if (below(2) == 0) commit(below(10));
    switch (below(12)) {
      case 0:
        submit();
        break;
      case 1:
        join();
        break;
      case 2:
        leave();
        break;
      case 3:
        cancel();
        break;
      case 4:
        submitter_leaves();
        break;
      case 5:
        change_slots();
        break;
      case 6:
        advance();
        break;
      case 7:
        read_some();
        break;
      default:
        work();
        break;
    }
    check();
  }

  // Everything that is alive does its duty until nothing is left to do.
  void heal() {
    healing_ = true;
    if (runners_.empty()) join();
    for (auto& [id, runner] : runners_) set_slots(id, runner, 4);
    for (int round = 0; round < 10'000 && plane_.counts().live != 0; ++round) {
      // Jobs no runner matches end by being cancelled.
      for (auto& [id, submitter] : submitters_) plane_.cancel_run(id, {.grace_ms = 0}, now_);
      commit(below(10));
      work();
      read_all();
    }
    for (int round = 0; round < 1000; ++round) work();
    logs_.held = false;
    logs_.write_all();
    plane_.on_log_news();
    commit(store_.pending());
    read_all();
    check();
    const JobPlaneCounts counts = plane_.counts();
    EXPECT_EQ(counts.live, 0u);
    EXPECT_EQ(counts.queued, 0u);
    EXPECT_EQ(counts.slots_busy, 0u) << "slots return in full";
    EXPECT_EQ(counts.submitted, counts.ended) << "every job ends exactly once";
    EXPECT_LE(plane_.list({}, now_).total, kEndedKept) << "nothing is kept beyond retention";
    EXPECT_FALSE(plane_.deadline());
    for (const auto& [id, submitter] : submitters_) {
      EXPECT_TRUE(submitter.gone || submitter.ended) << "submitter " << id;
    }
  }

 private:
  const JobRecord* on_disk(const std::string& job) const {
    return store_.on_disk(JobIdRange::of_prefix(job)->first);
  }
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  template <class Map>
  auto pick(Map& map) {
    auto at = map.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(below(map.size())));
    return at;
  }

  void commit(std::size_t changes) {
    store_.commit(changes);
    plane_.on_durable();
    if (changes % 2 == 0) logs_.write_all();
    plane_.on_log_news();
  }

  void submit() {
    messages::JobSpec spec{.argv = {"x"}};
    if (below(2) == 0) spec.require = {"kind=" + std::to_string(below(3))};
    if (below(3) == 0) spec.timeout_queue_ms = 1 + below(5000);
    if (below(3) == 0) spec.timeout_start_ms = 1 + below(5000);
    if (below(3) == 0) spec.timeout_run_ms = 1 + below(5000);
    const FollowerId id = next_id_++;
    ASSERT_TRUE(plane_.submit(id, spec, now_));
    submitters_[id] = {};
  }

  void join() {
    const RunnerId id = next_id_++;
    const auto slots = static_cast<std::uint32_t>(1 + below(3));
    const messages::RunnerHello hello{.name = "r" + std::to_string(id),
                                      .instance = "i",
                                      .isolation = "none",
                                      .slots = slots,
                                      .labels = {{"kind", std::to_string(below(3))}}};
    ASSERT_TRUE(plane_.runner_message(id, hello, now_));
    runners_[id].slots = slots;
  }

  void leave() {
    if (runners_.empty()) return;
    const auto at = pick(runners_);
    plane_.runner_left(at->first, now_);
    runners_.erase(at);
  }

  void cancel() {
    if (submitters_.empty()) return;
    plane_.cancel_run(pick(submitters_)->first, {.grace_ms = below(3000)}, now_);
  }

  void submitter_leaves() {
    if (submitters_.empty() || below(4) != 0) return;
    const auto at = pick(submitters_);
    at->second.gone = true;
    plane_.follower_left(at->first, now_);
  }

  void set_slots(RunnerId id, ModelRunner& runner, std::uint32_t slots) {
    runner.slots = slots;
    ASSERT_TRUE(plane_.runner_message(id, messages::RunnerReady{slots}, now_));
  }

  void change_slots() {
    if (runners_.empty()) return;
    const auto at = pick(runners_);
    set_slots(at->first, at->second, static_cast<std::uint32_t>(below(4)));
  }

  void advance() {
    now_ += std::chrono::milliseconds(below(20'000));
    plane_.on_deadline(now_);
  }

  void read_one(FollowerId id, ModelSubmitter& submitter) {
    const messages::JobEvent* event = plane_.next_event(id);
    if (event == nullptr) return;
    ASSERT_FALSE(submitter.ended) << "Ended is the last event";
    ASSERT_EQ(submitter.accepted, !std::holds_alternative<messages::Accepted>(*event))
        << "Accepted is the first event, once";
    submitter.accepted = true;
    if (const auto* output = std::get_if<messages::Output>(event)) {
      ASSERT_EQ(output->offset, submitter.offset) << "nothing is dropped or doubled";
      submitter.offset += output->data.size();
    }
    if (const auto* accepted = std::get_if<messages::Accepted>(event)) {
      ASSERT_NE(on_disk(accepted->job), nullptr) << "accepted is durable";
      submitter.job = accepted->job;
    }
    if (const auto* end = std::get_if<messages::Ended>(event)) {
      submitter.ended = true;
      ASSERT_TRUE(messages::is_end(on_disk(submitter.job)->status.state)) << "an end is durable";
      ASSERT_TRUE(messages::is_end(end->result.state));
      ASSERT_EQ(end->result.output_bytes, submitter.offset) << "all of the output came before";
    }
    plane_.take_event(id);
    plane_.on_log_news();
  }

  void read_some() {
    if (submitters_.empty()) return;
    const auto at = pick(submitters_);
    for (std::uint64_t i = below(10); i > 0; --i) read_one(at->first, at->second);
  }

  void read_all() {
    for (auto& [id, submitter] : submitters_) {
      while (plane_.next_event(id) != nullptr && !testing::Test::HasFatalFailure()) {
        read_one(id, submitter);
      }
    }
  }

  void receive(ModelRunner& runner, const messages::NodeMessage& message) {
    if (const auto* start = std::get_if<messages::Start>(&message)) {
      ASSERT_TRUE(placed_.insert(start->job).second) << "one attempt of a job, ever";
      runner.attempts[start->token] = {
          .job = start->job, .limit = start->output_limit, .may_run = !start->hold};
    } else if (const auto* go = std::get_if<messages::Go>(&message)) {
      const JobRecord* const record = on_disk(runner.attempts.at(go->token).job);
      ASSERT_TRUE(record != nullptr && record->status.token == go->token)
          << "it runs only what a crash would not forget";
      runner.attempts.at(go->token).may_run = true;
    } else if (const auto* window = std::get_if<messages::Window>(&message)) {
      const auto at = runner.attempts.find(window->token);
      if (at == runner.attempts.end()) return;
      ASSERT_GT(window->output_limit, at->second.limit) << "windows only rise";
      at->second.limit = window->output_limit;
    } else if (const auto* stop = std::get_if<messages::CancelAttempt>(&message)) {
      const auto at = runner.attempts.find(stop->token);
      if (at != runner.attempts.end()) at->second.cancelled = true;
    }
  }

  void work() {
    if (runners_.empty()) return;
    const auto at = pick(runners_);
    ModelRunner& runner = at->second;
    while (const messages::NodeMessage* message = plane_.next_message(at->first)) {
      receive(runner, *message);
      plane_.take_message(at->first);
    }
    if (runner.attempts.empty()) return;
    const auto attempt = pick(runner.attempts);
    act(at->first, runner, attempt->first, attempt->second);
  }

  void act(RunnerId id, ModelRunner& runner, std::uint64_t token, ModelAttempt& attempt) {
    if (!attempt.started && attempt.may_run && below(2) == 0) {
      attempt.started = true;
      ASSERT_TRUE(plane_.runner_message(id, messages::AttemptStarted{token, below(100)}, now_));
      return;
    }
    const std::uint64_t size = 1 + below(below(2) == 0 ? 10 : messages::kChunkBytesMax);
    const std::uint64_t cost = messages::kChunkCostBytes + size;
    if (attempt.started && !healing_ && below(3) != 0 && attempt.cost + cost <= attempt.limit) {
      const auto stream = below(2) == 0 ? messages::OutputStream::out : messages::OutputStream::err;
      messages::Chunk chunk{token, stream, attempt.offset, std::string(size, 'x')};
      ASSERT_TRUE(plane_.runner_message(id, std::move(chunk), now_));
      attempt.cost += cost;
      attempt.offset += size;
      return;
    }
    if (below(4) == 0) {
      ASSERT_TRUE(plane_.runner_message(id, messages::AttemptFinishing{token}, now_));
      return;
    }
    if (!healing_ && below(3) != 0) return;
    constexpr JobState kEnds[] = {JobState::succeeded, JobState::failed, JobState::cancelled};
    messages::AttemptEnded end{token,
                               {.state = kEnds[below(3)],
                                .output_bytes = attempt.offset,
                                .evidence = {.method = "m", .complete = below(2) == 0}}};
    ASSERT_TRUE(plane_.runner_message(id, end, now_));
    runner.attempts.erase(token);
  }

  void check() {
    while (plane_.poll_ready()) {
    }
    const JobPlaneCounts counts = plane_.counts();
    ASSERT_EQ(counts.ended + counts.live, counts.submitted);
    ASSERT_LE(plane_.list({}, now_).total, counts.live + kEndedKept);
    for (const messages::RunnerView& runner : plane_.list_runners(now_).runners) {
      std::set<std::string> jobs(runner.jobs.begin(), runner.jobs.end());
      ASSERT_EQ(jobs.size(), runner.slots_busy);
    }
  }

  std::mt19937_64 random_;
  VirtualJobStore store_;
  VirtualLogStore logs_;
  JobPlane plane_;
  protocol::Instant now_{};
  std::uint64_t next_id_ = 1;
  bool healing_ = false;
  std::map<RunnerId, ModelRunner> runners_;
  std::map<FollowerId, ModelSubmitter> submitters_;
  std::set<std::string> placed_;
};

void run_seed(std::uint64_t seed) {
  SCOPED_TRACE("replay: VALKYRIE_SEED=" + std::to_string(seed));
  World world(seed);
  for (int i = 0; i < kSteps && !testing::Test::HasFatalFailure(); ++i) world.step();
  if (!testing::Test::HasFatalFailure()) world.heal();
}

TEST(JobPlaneProperty, every_job_ends_once_and_everything_is_given_back) {
  if (const char* seed = std::getenv("VALKYRIE_SEED")) {
    run_seed(std::strtoull(seed, nullptr, 10));
    return;
  }
  for (std::uint64_t seed = 1; seed <= kSeeds && !testing::Test::HasFailure(); ++seed) {
    run_seed(seed);
  }
}

}  // namespace
}  // namespace valkyrie::jobs
