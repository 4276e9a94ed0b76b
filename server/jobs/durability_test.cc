// What the plane promises, and when; and what is left of it after a crash.
#include <chrono>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <vector>

#include "server/jobs/job_plane.h"
#include "server/jobs/virtual_job_store.h"
#include "server/jobs/virtual_log_store.h"

namespace valkyrie::jobs {
namespace {

using namespace std::chrono_literals;
using messages::EndReason;
using messages::JobState;
using protocol::StatusCode;

constexpr FollowerId kSubmitter = 10;
constexpr RunnerId kRunner = 1;

class DurabilityTest : public testing::Test {
 protected:
  DurabilityTest() { start(); }

  void start() {
    plane.emplace(JobPlaneOptions{.node = "n-test",
                                  .node_bits = 1,
                                  .epoch = ++epoch,
                                  .unix_ms = [this] { return wall_ms; },
                                  .random = [] { return std::uint64_t{7}; }},
                  store, logs);
    plane->recover(store.stored(), now);
  }
  // The node dies and comes back.
  void crash() {
    plane.reset();
    store.crash();
    logs.crash();
    start();
  }
  void commit(std::size_t count = static_cast<std::size_t>(-1)) {
    store.commit(count);
    plane->on_durable();
  }
  void advance(protocol::Duration by) {
    now += by;
    wall_ms += static_cast<std::uint64_t>(by / 1ms);
    plane->on_deadline(now);
  }

  static messages::JobSpec spec(std::vector<std::string> require = {}) {
    return {.argv = {"true"}, .require = std::move(require)};
  }
  std::expected<Promise<messages::SubmitReply>, Refused> submit(
      std::vector<messages::JobSpec> specs, std::optional<SubmitKey> key = std::nullopt) {
    return plane->submit_all({.specs = std::move(specs)}, "me", key, now);
  }
  void join(const std::string& name = "r") {
    const auto done = plane->runner_message(
        kRunner,
        messages::RunnerHello{
            .name = name, .instance = "i", .boot_id = "b", .isolation = "none", .slots = 2},
        now);
    ASSERT_TRUE(done) << done.error().text;
  }
  template <class T>
  std::vector<T> events() {
    std::vector<T> taken;
    plane->on_log_news();
    while (const messages::JobEvent* event = plane->next_event(kSubmitter)) {
      if (const auto* one = std::get_if<T>(event)) taken.push_back(*one);
      plane->take_event(kSubmitter);
      plane->on_log_news();
    }
    return taken;
  }
  template <class T>
  std::vector<T> sent() {
    std::vector<T> taken;
    while (const messages::NodeMessage* message = plane->next_message(kRunner)) {
      if (const auto* one = std::get_if<T>(message)) taken.push_back(*one);
      plane->take_message(kRunner);
    }
    return taken;
  }
  void ended(std::uint64_t token, JobState state) {
    const auto done = plane->runner_message(
        kRunner,
        messages::AttemptEnded{token,
                               {.state = state, .evidence = {.method = "t", .complete = true}}},
        now);
    ASSERT_TRUE(done) << done.error().text;
  }
  JobState state_of(const std::string& job) {
    const auto view = plane->get({job}, now);
    EXPECT_TRUE(view) << view.error().text;
    return view ? view->state : JobState::unspecified;
  }

  protocol::Instant now{};
  std::uint64_t wall_ms = 1'700'000'000'000;
  std::uint32_t epoch = 0;
  VirtualJobStore store;
  VirtualLogStore logs;
  std::optional<JobPlane> plane;
};

constexpr SubmitKey kKey{.key = {1}, .body = {2}};
constexpr SubmitKey kSameKeyOtherBody{.key = {1}, .body = {3}};

TEST_F(DurabilityTest, a_job_is_accepted_once_its_record_is_durable) {
  ASSERT_TRUE(plane->submit(kSubmitter, spec(), now));
  EXPECT_EQ(plane->next_event(kSubmitter), nullptr);
  EXPECT_FALSE(plane->poll_ready());
  commit();
  ASSERT_TRUE(plane->poll_ready());
  EXPECT_EQ(events<messages::Accepted>().size(), 1u);
}

TEST_F(DurabilityTest, an_answer_to_a_submit_names_the_change_that_makes_it_true) {
  const auto promise = submit({spec(), spec(), spec()});
  ASSERT_TRUE(promise);
  EXPECT_EQ(promise->answer.jobs.size(), 3u);
  EXPECT_EQ(promise->after, 3u) << "the last of its records";
}

TEST_F(DurabilityTest, a_runner_prepares_at_once_and_executes_after_the_commit) {
  join();
  ASSERT_TRUE(submit({spec()}));
  const auto starts = sent<messages::Start>();
  ASSERT_EQ(starts.size(), 1u);
  EXPECT_TRUE(starts.front().hold);
  commit(1);  // The job; not that it was assigned.
  EXPECT_TRUE(sent<messages::Go>().empty());
  commit();
  EXPECT_EQ(sent<messages::Go>(), std::vector{messages::Go{starts.front().token}});
}

TEST_F(DurabilityTest, a_job_cancelled_before_its_go_never_gets_one) {
  join();
  const auto promise = submit({spec()});
  const std::uint64_t token = sent<messages::Start>().at(0).token;
  const auto cancelled = plane->cancel({.job = promise->answer.jobs.front()}, now);
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->answer.state, JobState::cancelling);
  commit();
  EXPECT_TRUE(sent<messages::Go>().empty());
  ended(token, JobState::cancelled);
  EXPECT_EQ(state_of(promise->answer.jobs.front()), JobState::cancelled);
}

TEST_F(DurabilityTest, a_runner_may_forget_an_attempt_once_its_result_is_durable) {
  join();
  ASSERT_TRUE(plane->submit(kSubmitter, spec(), now));
  commit();
  const std::uint64_t token = sent<messages::Start>().at(0).token;
  ended(token, JobState::succeeded);
  EXPECT_TRUE(sent<messages::Settled>().empty());
  EXPECT_TRUE(events<messages::Ended>().empty());
  EXPECT_EQ(plane->counts().slots_busy, 0u) << "the slot does not wait for the disk";
  commit();
  EXPECT_EQ(sent<messages::Settled>().size(), 1u);
  EXPECT_EQ(events<messages::Ended>().size(), 1u);
}

TEST_F(DurabilityTest, a_cancel_is_answered_once_the_intent_is_durable) {
  const auto promise = submit({spec()});
  commit();
  const auto cancelled = plane->cancel({.job = promise->answer.jobs.front()}, now);
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->after, 2u);
  EXPECT_GT(cancelled->after, store.durable());
}

TEST_F(DurabilityTest, a_store_without_room_refuses_new_jobs_and_ends_old_ones) {
  join();
  ASSERT_TRUE(submit({spec()}));
  commit();
  store.room_now = StoreRoom::disk_full;
  EXPECT_EQ(submit({spec()}).error().code, StatusCode::resource_exhausted);
  EXPECT_EQ(plane->submit(kSubmitter, spec(), now).error().code, StatusCode::resource_exhausted);
  store.room_now = StoreRoom::behind;
  EXPECT_EQ(submit({spec()}).error().code, StatusCode::resource_exhausted);
  ended(sent<messages::Start>().at(0).token, JobState::succeeded);
  EXPECT_EQ(plane->counts().live, 0u);
  store.room_now = StoreRoom::open;
  EXPECT_TRUE(submit({spec()}));
}

TEST_F(DurabilityTest, jobs_of_one_request_are_taken_all_or_none) {
  const auto refused = submit({spec(), spec({"no constraint"})});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, StatusCode::invalid_argument);
  EXPECT_EQ(plane->counts().live, 0u);
  EXPECT_EQ(plane->counts().queued, 0u);
  EXPECT_EQ(store.pending(), 0u);
}

TEST_F(DurabilityTest, queued_jobs_come_back_in_their_order) {
  std::vector<std::string> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back(submit({spec()})->answer.jobs.front());
  commit();
  crash();
  EXPECT_EQ(plane->counts().queued, 3u);
  join();
  const auto starts = sent<messages::Start>();
  ASSERT_EQ(starts.size(), 2u);
  EXPECT_EQ(starts[0].job, jobs[0]);
  EXPECT_EQ(starts[1].job, jobs[1]);
  const auto later = submit({spec()});
  EXPECT_GT(later->answer.jobs.front(), jobs.back()) << "no row is given twice";
}

TEST_F(DurabilityTest, what_was_not_committed_is_as_if_it_had_never_come) {
  const auto kept = submit({spec()}, kKey);
  commit();
  const auto lost = submit({spec()});
  crash();
  EXPECT_EQ(plane->counts().live, 1u);
  EXPECT_EQ(plane->get({lost->answer.jobs.front()}, now).error().code, StatusCode::not_found);
  EXPECT_EQ(state_of(kept->answer.jobs.front()), JobState::queued);
}

TEST_F(DurabilityTest, a_key_makes_a_submit_repeatable_over_a_restart) {
  const auto first = submit({spec(), spec()}, kKey);
  ASSERT_TRUE(first);
  const auto again = submit({spec(), spec()}, kKey);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->answer.known);
  EXPECT_EQ(again->answer.jobs, first->answer.jobs);
  EXPECT_EQ(again->after, first->after) << "known is not yet durable";
  commit();
  crash();
  EXPECT_EQ(submit({spec(), spec()}, kKey)->answer.jobs, first->answer.jobs);
  EXPECT_EQ(submit({spec()}, kSameKeyOtherBody).error().code, StatusCode::already_exists);
  EXPECT_EQ(plane->counts().live, 2u);
}

TEST_F(DurabilityTest, a_key_is_forgotten_after_a_day) {
  ASSERT_TRUE(submit({spec()}, kKey));
  advance(24h - 1ms);
  EXPECT_EQ(submit({spec()}, kSameKeyOtherBody).error().code, StatusCode::already_exists);
  advance(1ms);
  EXPECT_FALSE(submit({spec()}, kSameKeyOtherBody)->answer.known);
}

TEST_F(DurabilityTest, the_queue_timeout_counts_the_time_before_the_restart) {
  messages::JobSpec short_wait = spec();
  short_wait.timeout_queue_ms = 60'000;
  const auto promise = submit({short_wait});
  commit();
  advance(50s);
  crash();
  advance(9s);
  EXPECT_EQ(state_of(promise->answer.jobs.front()), JobState::queued);
  advance(2s);
  EXPECT_EQ(state_of(promise->answer.jobs.front()), JobState::failed);
}

TEST_F(DurabilityTest, a_stream_of_the_old_run_leaves_no_job_behind) {
  const auto id = plane->submit(kSubmitter, spec(), now);
  commit();
  crash();
  EXPECT_EQ(state_of(id->text()), JobState::cancelled);
}

TEST_F(DurabilityTest, an_attempt_of_the_old_run_keeps_its_job_until_its_lease_is_over) {
  join();
  const auto promise = submit({spec()});
  commit();
  crash();
  const std::string& job = promise->answer.jobs.front();
  EXPECT_EQ(state_of(job), JobState::assigned);
  advance(kLeaseLost - 1ms);
  EXPECT_EQ(state_of(job), JobState::assigned);
  advance(1ms);
  const auto view = plane->get({job}, now);
  EXPECT_EQ(view->state, JobState::failed);
  EXPECT_EQ(view->result->reason, EndReason::runner_lost);
  EXPECT_EQ(view->result->evidence.method, "presumed");
}

TEST_F(DurabilityTest, a_runner_that_comes_back_without_its_attempt_ends_it) {
  join();
  const auto promise = submit({spec()});
  commit();
  crash();
  join("another");
  EXPECT_EQ(state_of(promise->answer.jobs.front()), JobState::assigned);
  plane->runner_left(kRunner, now);
  join();
  EXPECT_EQ(state_of(promise->answer.jobs.front()), JobState::failed);
  EXPECT_EQ(plane->counts().live, 0u);
}

TEST_F(DurabilityTest, a_cancel_of_an_attempt_of_the_old_run_stays_unverified) {
  join();
  const auto promise = submit({spec()});
  commit();
  crash();
  const auto cancelled = plane->cancel({.job = promise->answer.jobs.front()}, now);
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->answer.state, JobState::cancelling);
  advance(kLeaseLost);
  EXPECT_EQ(state_of(promise->answer.jobs.front()), JobState::cancel_unverified);
}

TEST_F(DurabilityTest, ended_jobs_can_still_be_asked_for_after_a_restart) {
  const auto promise = submit({spec()});
  ASSERT_TRUE(plane->cancel({.job = promise->answer.jobs.front()}, now));
  commit();
  crash();
  const auto view = plane->get({promise->answer.jobs.front()}, now);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->state, JobState::cancelled);
  EXPECT_EQ(view->result->evidence.method, "never_started");
}

TEST_F(DurabilityTest, output_that_was_kept_can_be_read_after_a_restart) {
  join();
  const auto promise = submit({spec()});
  commit();
  const std::uint64_t token = sent<messages::Start>().at(0).token;
  ASSERT_TRUE(plane->runner_message(kRunner, messages::AttemptStarted{token, 0}, now));
  ASSERT_TRUE(plane->runner_message(
      kRunner, messages::Chunk{token, messages::OutputStream::out, 0, "kept"}, now));
  commit();
  logs.held = true;
  ASSERT_TRUE(plane->runner_message(
      kRunner, messages::Chunk{token, messages::OutputStream::out, 4, " lost"}, now));
  crash();
  logs.held = false;
  ASSERT_TRUE(plane->watch(kSubmitter, {.job = promise->answer.jobs.front()}));
  advance(kLeaseLost);
  commit();
  std::string text;
  std::optional<messages::JobResult> result;
  plane->on_log_news();
  while (const messages::JobEvent* event = plane->next_event(kSubmitter)) {
    if (const auto* output = std::get_if<messages::Output>(event)) text += output->data;
    if (const auto* ended = std::get_if<messages::Ended>(event)) result = ended->result;
    plane->take_event(kSubmitter);
    plane->on_log_news();
  }
  EXPECT_EQ(text, "kept");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output_bytes, 4u) << "what there is, not what was said";
}

TEST_F(DurabilityTest, a_result_waits_for_its_log_and_the_slot_does_not) {
  join();
  ASSERT_TRUE(plane->submit(kSubmitter, spec(), now));
  commit();
  const std::uint64_t token = sent<messages::Start>().at(0).token;
  ASSERT_TRUE(plane->runner_message(kRunner, messages::AttemptStarted{token, 0}, now));
  logs.held = true;
  ASSERT_TRUE(plane->runner_message(
      kRunner, messages::Chunk{token, messages::OutputStream::out, 0, "text"}, now));
  ASSERT_TRUE(
      plane->runner_message(kRunner,
                            messages::AttemptEnded{token,
                                                   {.state = JobState::succeeded,
                                                    .output_bytes = 4,
                                                    .evidence = {.method = "t", .complete = true}}},
                            now));
  EXPECT_EQ(plane->counts().slots_busy, 0u);
  plane->runner_left(kRunner, now);
  commit();
  EXPECT_TRUE(events<messages::Ended>().empty());
  EXPECT_EQ(plane->counts().live, 1u) << "it has ended well, whoever goes now";
  logs.write_all();
  plane->on_log_news();
  commit();
  EXPECT_EQ(events<messages::Ended>().at(0).result.state, JobState::succeeded);
}

TEST_F(DurabilityTest, tokens_of_a_later_run_are_higher) {
  join();
  ASSERT_TRUE(submit({spec(), spec()}));
  const std::uint64_t before = sent<messages::Start>().at(1).token;
  commit();
  crash();
  join();
  ASSERT_TRUE(submit({spec()}));
  EXPECT_GT(sent<messages::Start>().at(0).token, before);
}

TEST_F(DurabilityTest, a_drain_leaves_jobs_of_no_stream_for_the_next_run) {
  const auto kept = submit({spec()});
  const auto owned = plane->submit(kSubmitter, spec(), now);
  plane->drain(now);
  commit();
  EXPECT_EQ(state_of(owned->text()), JobState::cancelled);
  crash();
  EXPECT_EQ(state_of(kept->answer.jobs.front()), JobState::queued);
}

}  // namespace
}  // namespace valkyrie::jobs
