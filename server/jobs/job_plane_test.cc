#include "server/jobs/job_plane.h"

#include <chrono>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "server/jobs/virtual_log_store.h"

namespace valkyrie::jobs {
namespace {

using namespace std::chrono_literals;
using messages::EndReason;
using messages::JobState;
using protocol::StatusCode;

// A plane with a clock of its own and readers that take all at once unless told otherwise.
class JobPlaneTest : public testing::Test {
 protected:
  JobPlaneTest() { make_plane(kEndedJobsKept); }

  void make_plane(std::size_t kept) {
    store.emplace();
    options.ended_jobs_kept = kept;
    plane.emplace(options, *store, logs);
  }

  static messages::JobSpec spec(std::vector<std::string> require = {}) {
    return {.argv = {"true"}, .require = std::move(require)};
  }

  messages::RunnerHello hello(const std::string& name, std::uint32_t slots,
                              Labels labels = {{"os", "linux"}}) {
    return {.name = name,
            .instance = "i-" + name,
            .boot_id = "b",
            .version = "1",
            .isolation = "namespace",
            .slots = slots,
            .labels = std::move(labels)};
  }

  void join(RunnerId id, std::uint32_t slots, Labels labels = {{"os", "linux"}}) {
    const auto done =
        plane->runner_message(id, hello("r" + std::to_string(id), slots, labels), now);
    ASSERT_TRUE(done.has_value()) << done.error().text;
  }

  // All events a submitter can take now.
  std::vector<messages::JobEvent> events(FollowerId id) {
    std::vector<messages::JobEvent> taken;
    plane->on_log_news();
    while (const messages::JobEvent* event = plane->next_event(id)) {
      taken.push_back(*event);
      plane->take_event(id);
      plane->on_log_news();
    }
    return taken;
  }

  std::vector<messages::NodeMessage> sent_to(RunnerId id) {
    std::vector<messages::NodeMessage> taken;
    while (const messages::NodeMessage* message = plane->next_message(id)) {
      taken.push_back(*message);
      plane->take_message(id);
    }
    return taken;
  }

  // The only Start a runner was sent.
  messages::Start start_of(RunnerId id) {
    std::vector<messages::Start> starts;
    for (const auto& message : sent_to(id)) {
      if (const auto* start = std::get_if<messages::Start>(&message)) starts.push_back(*start);
    }
    EXPECT_EQ(starts.size(), 1u);
    return starts.empty() ? messages::Start{} : starts.front();
  }

  void started(RunnerId id, std::uint64_t token) {
    ASSERT_TRUE(plane->runner_message(id, messages::AttemptStarted{token, 0}, now));
  }

  std::expected<void, Refused> ended(RunnerId id, std::uint64_t token, JobState state,
                                     std::uint64_t bytes = 0, bool complete = true) {
    return plane->runner_message(
        id,
        messages::AttemptEnded{token,
                               {.state = state,
                                .output_bytes = bytes,
                                .evidence = {.method = "namespace", .complete = complete}}},
        now);
  }

  // The result in the last event a submitter can take.
  messages::JobResult result_of(FollowerId id) {
    const auto taken = events(id);
    const auto* end = taken.empty() ? nullptr : std::get_if<messages::Ended>(&taken.back());
    EXPECT_NE(end, nullptr);
    return end == nullptr ? messages::JobResult{} : end->result;
  }

  void advance(protocol::Duration by) {
    now += by;
    plane->on_deadline(now);
  }

  protocol::Instant now{};
  JobPlaneOptions options{.node = "n-test",
                          .node_bits = 1,
                          .epoch = 3,
                          .unix_ms = [] { return std::uint64_t{1'700'000'000'000}; },
                          .random = [] { return std::uint64_t{7}; }};
  VirtualLogStore logs;
  std::optional<MemoryJobStore> store;
  std::optional<JobPlane> plane;
};

TEST_F(JobPlaneTest, a_job_goes_to_an_idle_runner_in_the_same_turn) {
  join(1, 1);
  sent_to(1);
  while (plane->poll_ready()) {
  }
  const auto id = plane->submit(10, spec({"os=linux"}), now);
  ASSERT_TRUE(id.has_value());
  const auto first = plane->poll_ready();
  ASSERT_TRUE(first && std::holds_alternative<FollowerReady>(*first));
  const auto second = plane->poll_ready();
  ASSERT_TRUE(second && std::holds_alternative<RunnerReadyToTake>(*second));
  EXPECT_FALSE(plane->poll_ready());
  const messages::Start start = start_of(1);
  EXPECT_EQ(start.job, id->text());
  EXPECT_EQ(start.attempt, 1u);
  EXPECT_EQ(start.token >> 40, 3u) << "the epoch leads";
  now += 5ms;
  ASSERT_TRUE(plane->runner_message(1, messages::AttemptStarted{start.token, 2'000'000}, now));
  ASSERT_TRUE(plane->runner_message(
      1, messages::Chunk{start.token, messages::OutputStream::out, 0, "hi"}, now));
  ASSERT_TRUE(plane->runner_message(1, messages::AttemptFinishing{start.token}, now));
  EXPECT_EQ(plane->get({.job = id->text()}, now)->state, JobState::finishing);
  ASSERT_TRUE(ended(1, start.token, JobState::succeeded, 2));
  const auto seen = events(10);
  ASSERT_EQ(seen.size(), 5u);
  EXPECT_EQ(std::get<messages::Accepted>(seen[0]).job, id->text());
  EXPECT_EQ(std::get<messages::Assigned>(seen[1]).runner, "r1");
  EXPECT_EQ(std::get<messages::Running>(seen[2]).dispatch_ns, 3'000'000u);
  EXPECT_EQ(std::get<messages::Output>(seen[3]).data, "hi");
  EXPECT_EQ(std::get<messages::Ended>(seen[4]).result.state, JobState::succeeded);
  EXPECT_EQ(plane->counts().live, 0u);
  EXPECT_EQ(plane->counts().slots_busy, 0u);
  EXPECT_FALSE(plane->deadline());
  EXPECT_TRUE(std::holds_alternative<messages::Settled>(sent_to(1).back()));
}

TEST_F(JobPlaneTest, a_job_without_runner_says_why_and_says_so_again_when_that_changes) {
  ASSERT_TRUE(plane->submit(10, spec({"os=linux", "gpu=a100"}), now));
  auto seen = events(10);
  EXPECT_EQ(std::get<messages::Waiting>(seen.back()).text, "no runner is connected");
  join(1, 1);
  join(2, 1, {{"os", "mac"}, {"gpu", "a100"}});
  seen = events(10);
  ASSERT_EQ(seen.size(), 1u) << "unread reasons are replaced";
  const auto& waiting = std::get<messages::Waiting>(seen.back());
  EXPECT_EQ(waiting.reason, messages::WaitReason::no_match);
  EXPECT_EQ(waiting.text,
            "no runner matches; os=linux: 1 of 2, without it 1; gpu=a100: 1 of 2, without it 1");
  EXPECT_EQ(waiting.runners, 2u);
  EXPECT_EQ(waiting.runners_matching, 0u);
  join(3, 1, {{"os", "linux"}, {"gpu", "a100"}});
  EXPECT_TRUE(std::holds_alternative<messages::Assigned>(events(10).back()));
}

TEST_F(JobPlaneTest, busy_runners_are_a_reason_and_jobs_go_first_in_first_out) {
  join(1, 1);
  for (const FollowerId id : {10u, 11u, 12u}) ASSERT_TRUE(plane->submit(id, spec(), now));
  const messages::Start first = start_of(1);
  EXPECT_EQ(std::get<messages::Waiting>(events(11).back()).reason,
            messages::WaitReason::no_capacity);
  ASSERT_TRUE(ended(1, first.token, JobState::failed));
  EXPECT_TRUE(std::holds_alternative<messages::Assigned>(events(11).back()));
  EXPECT_TRUE(std::holds_alternative<messages::Waiting>(events(12).back()));
  EXPECT_EQ(result_of(10).reason, EndReason::exit);
}

TEST_F(JobPlaneTest, the_runner_with_the_fewest_jobs_is_chosen) {
  join(1, 2);
  join(2, 2);
  for (const FollowerId id : {10u, 11u}) ASSERT_TRUE(plane->submit(id, spec(), now));
  start_of(1);
  start_of(2);
}

TEST_F(JobPlaneTest, a_lost_runner_ends_its_jobs_at_once) {
  join(1, 2);
  ASSERT_TRUE(plane->submit(10, spec(), now));
  ASSERT_TRUE(plane->submit(11, spec(), now));
  plane->cancel_run(11, {}, now);
  plane->runner_left(1, now);
  const messages::JobResult lost = result_of(10);
  EXPECT_EQ(lost.state, JobState::failed);
  EXPECT_EQ(lost.reason, EndReason::runner_lost);
  EXPECT_EQ(lost.evidence.method, "presumed");
  EXPECT_EQ(result_of(11).state, JobState::cancel_unverified);
  EXPECT_TRUE(plane->list_runners(now).runners.empty());
}

TEST_F(JobPlaneTest, cancelling_a_queued_job_proves_that_it_never_started) {
  const auto id = plane->submit(10, spec(), now);
  const auto reply = plane->cancel({.job = id->text().substr(0, 20)}, now);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->answer.state, JobState::cancelled);
  EXPECT_EQ(result_of(10).evidence.method, "never_started");
  EXPECT_EQ(plane->cancel({.job = id->text()}, now)->answer.state, JobState::cancelled)
      << "idempotent";
  EXPECT_EQ(plane->counts().queued, 0u);
}

TEST_F(JobPlaneTest, cancelling_a_running_job_waits_for_proof) {
  join(1, 1);
  const auto id = plane->submit(10, spec(), now);
  const messages::Start start = start_of(1);
  started(1, start.token);
  plane->cancel_run(10, {.grace_ms = 2000}, now);
  plane->cancel_run(10, {.grace_ms = 3000}, now);
  const auto sent = sent_to(1);
  ASSERT_EQ(sent.size(), 1u) << "a slower cancel changes nothing";
  EXPECT_EQ(std::get<messages::CancelAttempt>(sent[0]).grace_ms, 2000u);
  EXPECT_EQ(plane->get({.job = id->text()}, now)->state, JobState::cancelling);
  plane->cancel_run(10, {.grace_ms = 0}, now);
  EXPECT_EQ(std::get<messages::CancelAttempt>(sent_to(1).back()).grace_ms, 0u);
  ASSERT_TRUE(ended(1, start.token, JobState::failed));
  EXPECT_EQ(result_of(10).state, JobState::cancelled);
}

TEST_F(JobPlaneTest, success_while_cancelling_wins) {
  join(1, 1);
  ASSERT_TRUE(plane->submit(10, spec(), now));
  const messages::Start start = start_of(1);
  plane->cancel_run(10, {}, now);
  ASSERT_TRUE(ended(1, start.token, JobState::succeeded));
  EXPECT_EQ(result_of(10).state, JobState::succeeded);
}

TEST_F(JobPlaneTest, without_proof_a_cancel_is_unverified_until_late_evidence_upgrades_it) {
  join(1, 1);
  const auto id = plane->submit(10, spec(), now);
  const messages::Start start = start_of(1);
  plane->cancel_run(10, {.grace_ms = 0}, now);
  advance(kProofTimeout - 1ns);
  EXPECT_EQ(plane->counts().live, 1u);
  advance(1ns);
  EXPECT_EQ(result_of(10).state, JobState::cancel_unverified);
  EXPECT_EQ(plane->counts().slots_busy, 1u) << "the slot is held";
  ASSERT_TRUE(ended(1, start.token, JobState::cancelled));
  EXPECT_EQ(plane->get({.job = id->text()}, now)->state, JobState::cancelled);
  EXPECT_EQ(plane->counts().slots_busy, 0u);
}

TEST_F(JobPlaneTest, survivors_hold_the_slot_and_incomplete_evidence_is_unverified) {
  join(1, 1);
  ASSERT_TRUE(plane->submit(10, spec(), now));
  const messages::Start start = start_of(1);
  plane->cancel_run(10, {}, now);
  messages::AttemptEnded end{start.token, {.state = JobState::cancelled}};
  end.result.evidence = {.method = "process_group", .survivors = {{.pid = 5}}};
  ASSERT_TRUE(plane->runner_message(1, end, now));
  EXPECT_EQ(result_of(10).state, JobState::cancel_unverified);
  EXPECT_EQ(plane->counts().slots_busy, 1u);
  plane->runner_left(1, now);
  EXPECT_EQ(plane->counts().slots, 0u);
}

TEST_F(JobPlaneTest, each_timeout_has_its_reason) {
  messages::JobSpec timed = spec();
  timed.timeout_queue_ms = 1000;
  timed.timeout_start_ms = 2000;
  timed.timeout_run_ms = 3000;
  ASSERT_TRUE(plane->submit(10, timed, now));
  advance(1s - 1ns);
  EXPECT_EQ(plane->counts().live, 1u);
  advance(1ns);
  const messages::JobResult queued = result_of(10);
  EXPECT_EQ(queued.reason, EndReason::timeout_queue);
  EXPECT_EQ(queued.text, "waited too long: no runner is connected");

  join(1, 2);
  ASSERT_TRUE(plane->submit(11, timed, now));
  const messages::Start slow = start_of(1);
  advance(2s);
  EXPECT_TRUE(std::holds_alternative<messages::CancelAttempt>(sent_to(1).back()));
  ASSERT_TRUE(ended(1, slow.token, JobState::cancelled));
  EXPECT_EQ(result_of(11).reason, EndReason::timeout_start);

  ASSERT_TRUE(plane->submit(12, timed, now));
  const messages::Start long_one = start_of(1);
  started(1, long_one.token);
  advance(3s + kTimeoutRunMargin - 1ns);
  EXPECT_TRUE(sent_to(1).empty()) << "its runner stops it first";
  advance(1ns);
  advance(kProofTimeout);
  EXPECT_EQ(result_of(12).reason, EndReason::timeout_run);
}

TEST_F(JobPlaneTest, output_waits_for_the_disk_within_the_window) {
  logs.held = true;
  join(1, 1);
  ASSERT_TRUE(plane->submit(10, spec(), now));
  const messages::Start start = start_of(1);
  started(1, start.token);
  const std::uint64_t chunk_bytes = messages::kChunkBytesMax;
  std::uint64_t sent = 0;
  std::uint64_t cost = 0;
  while (cost + chunk_bytes + messages::kChunkCostBytes <= start.output_limit) {
    ASSERT_TRUE(plane->runner_message(1,
                                      messages::Chunk{start.token, messages::OutputStream::out,
                                                      sent, std::string(chunk_bytes, 'a')},
                                      now));
    sent += chunk_bytes;
    cost += chunk_bytes + messages::kChunkCostBytes;
  }
  EXPECT_TRUE(sent_to(1).empty()) << "nothing was written, so nothing more may come";
  logs.write_all();
  std::uint64_t read = 0;
  for (const auto& event : events(10)) {
    if (const auto* output = std::get_if<messages::Output>(&event)) {
      EXPECT_EQ(output->offset, read);
      read += output->data.size();
    }
  }
  EXPECT_EQ(read, sent);
  const auto opened = sent_to(1);
  ASSERT_FALSE(opened.empty());
  EXPECT_EQ(opened.size(), 1u) << "unread windows are replaced";
  const std::uint64_t limit = std::get<messages::Window>(opened.back()).output_limit;
  EXPECT_LE(limit, cost + kOutputWindowBytes);
  EXPECT_GT(limit, cost + kOutputWindowBytes / 2);
}

TEST_F(JobPlaneTest, output_beyond_the_window_ends_the_runner) {
  logs.held = true;
  join(1, 1);
  ASSERT_TRUE(plane->submit(10, spec(), now));
  const messages::Start start = start_of(1);
  started(1, start.token);
  std::uint64_t sent = 0;
  std::expected<void, Refused> last;
  while (last && sent < 4 * kOutputWindowBytes) {
    last = plane->runner_message(
        1, messages::Chunk{start.token, messages::OutputStream::out, sent, "x"}, now);
    if (last) ++sent;
  }
  ASSERT_FALSE(last.has_value());
  EXPECT_EQ(last.error().code, StatusCode::resource_exhausted);
  EXPECT_EQ(sent, kOutputWindowBytes / (messages::kChunkCostBytes + 1));
  logs.write_all();
  EXPECT_EQ(result_of(10).reason, EndReason::runner_lost);
}

TEST_F(JobPlaneTest, a_stalled_disk_is_no_missing_proof) {
  logs.stall(true);
  join(1, 1);
  ASSERT_TRUE(plane->submit(10, spec(), now));
  const messages::Start start = start_of(1);
  started(1, start.token);
  std::uint64_t sent = 0;
  for (int i = 0; i < 7; ++i, sent += messages::kChunkBytesMax) {
    ASSERT_TRUE(
        plane->runner_message(1,
                              messages::Chunk{start.token, messages::OutputStream::out, sent,
                                              std::string(messages::kChunkBytesMax, 'a')},
                              now));
  }
  plane->cancel_run(10, {.grace_ms = 0}, now);
  for (int i = 0; i < 3; ++i) advance(kProofTimeout);
  EXPECT_EQ(plane->counts().live, 1u);
  ASSERT_TRUE(ended(1, start.token, JobState::cancelled, sent));
  EXPECT_EQ(plane->counts().live, 1u) << "the result is said after the log's last byte";
  logs.stall(false);
  EXPECT_EQ(result_of(10).state, JobState::cancelled);
}

TEST_F(JobPlaneTest, a_reader_that_stops_holds_nobody_up) {
  join(1, 1);
  ASSERT_TRUE(plane->submit(10, spec(), now));
  const messages::Start start = start_of(1);
  started(1, start.token);
  std::uint64_t sent = 0;
  for (int i = 0; i < 100; ++i, sent += messages::kChunkBytesMax) {
    ASSERT_TRUE(
        plane->runner_message(1,
                              messages::Chunk{start.token, messages::OutputStream::out, sent,
                                              std::string(messages::kChunkBytesMax, 'a')},
                              now));
  }
  ASSERT_TRUE(ended(1, start.token, JobState::succeeded, sent));
  EXPECT_EQ(plane->counts().live, 0u);
  std::uint64_t read = 0;
  const auto taken = events(10);
  for (const auto& event : taken) {
    if (const auto* output = std::get_if<messages::Output>(&event)) read += output->data.size();
  }
  EXPECT_EQ(read, sent);
  EXPECT_TRUE(std::holds_alternative<messages::Ended>(taken.back())) << "after the last byte";
}

TEST_F(JobPlaneTest, a_log_can_be_read_from_any_byte_while_and_after_it_is_written) {
  join(1, 1);
  const auto id = plane->submit(10, spec(), now);
  const messages::Start start = start_of(1);
  started(1, start.token);
  const auto write = [&](std::uint64_t offset, messages::OutputStream stream, std::string data) {
    ASSERT_TRUE(plane->runner_message(
        1, messages::Chunk{start.token, stream, offset, std::move(data)}, now));
  };
  const auto text = [&](FollowerId stream) {
    std::string all;
    for (const auto& event : events(stream)) {
      if (const auto* output = std::get_if<messages::Output>(&event)) all += output->data;
    }
    return all;
  };
  write(0, messages::OutputStream::out, "one ");
  ASSERT_TRUE(plane->watch(20, {.job = id->text(), .offset = 1}));
  const auto first = events(20);
  EXPECT_TRUE(std::holds_alternative<messages::Running>(first.at(2)));
  EXPECT_EQ(std::get<messages::Output>(first.at(3)).data, "ne ");
  EXPECT_TRUE(std::holds_alternative<messages::CaughtUp>(first.at(4)));
  write(4, messages::OutputStream::err, "two ");
  EXPECT_EQ(text(20), "two ");
  ASSERT_TRUE(ended(1, start.token, JobState::succeeded, 8));
  EXPECT_TRUE(std::holds_alternative<messages::Ended>(events(20).back()));
  ASSERT_TRUE(plane->watch(21, {.job = id->text(), .offset = 0}));
  EXPECT_EQ(text(21), "one two ");
  ASSERT_TRUE(plane->watch(22, {.job = id->text(), .offset = 8}));
  const auto at_end = events(22);
  const auto* end = std::get_if<messages::Ended>(&at_end.back());
  ASSERT_NE(end, nullptr);
  EXPECT_EQ(end->result.log_sha256.size(), 32u);
  EXPECT_FALSE(plane->watch(23, {.job = "job_nothere"}));
}

TEST_F(JobPlaneTest, a_watch_that_ends_leaves_the_job_alone) {
  const auto id = plane->submit(10, spec(), now);
  ASSERT_TRUE(plane->watch(20, {.job = id->text()}));
  EXPECT_EQ(plane->watch(20, {.job = id->text()}).error().code, StatusCode::invalid_argument);
  plane->follower_left(20, now);
  EXPECT_EQ(plane->counts().live, 1u);
}

TEST_F(JobPlaneTest, a_watch_of_a_log_that_was_removed_says_so) {
  join(1, 1);
  const auto id = plane->submit(10, spec(), now);
  const messages::Start start = start_of(1);
  started(1, start.token);
  ASSERT_TRUE(plane->runner_message(
      1, messages::Chunk{start.token, messages::OutputStream::out, 0, "text"}, now));
  ASSERT_TRUE(ended(1, start.token, JobState::succeeded, 4));
  logs.remove({*id, 1});
  ASSERT_TRUE(plane->watch(20, {.job = id->text()}));
  events(20);
  std::optional<FollowerDismissed> dismissed;
  while (const auto ready = plane->poll_ready()) {
    if (const auto* gone = std::get_if<FollowerDismissed>(&*ready)) dismissed = *gone;
  }
  ASSERT_TRUE(dismissed);
  EXPECT_EQ(dismissed->why.code, StatusCode::data_loss);
}

TEST_F(JobPlaneTest, a_job_that_writes_without_end_is_stopped) {
  options.log_bytes_max = 3;
  make_plane(kEndedJobsKept);
  join(1, 1);
  ASSERT_TRUE(plane->submit(10, spec(), now));
  const messages::Start start = start_of(1);
  started(1, start.token);
  const auto write = [&](std::uint64_t offset, std::string data) {
    ASSERT_TRUE(plane->runner_message(
        1, messages::Chunk{start.token, messages::OutputStream::out, offset, std::move(data)},
        now));
  };
  write(0, "abc");
  EXPECT_TRUE(sent_to(1).empty());
  write(3, "d");
  EXPECT_TRUE(std::holds_alternative<messages::CancelAttempt>(sent_to(1).back()));
  write(4, "on the way");
  ASSERT_TRUE(ended(1, start.token, JobState::cancelled, 14));
  const messages::JobResult result = result_of(10);
  EXPECT_EQ(result.state, JobState::failed);
  EXPECT_EQ(result.reason, EndReason::log_limit);
}

TEST_F(JobPlaneTest, a_submitter_that_goes_cancels_its_job_and_blocks_nothing) {
  join(1, 1);
  ASSERT_TRUE(plane->submit(10, spec(), now));
  const messages::Start start = start_of(1);
  started(1, start.token);
  std::uint64_t sent = 0;
  for (int i = 0; i < 7; ++i, sent += messages::kChunkBytesMax) {
    ASSERT_TRUE(
        plane->runner_message(1,
                              messages::Chunk{start.token, messages::OutputStream::out, sent,
                                              std::string(messages::kChunkBytesMax, 'a')},
                              now));
  }
  plane->follower_left(10, now);
  const auto sent_messages = sent_to(1);
  ASSERT_EQ(sent_messages.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<messages::Window>(sent_messages[0]));
  EXPECT_TRUE(std::holds_alternative<messages::CancelAttempt>(sent_messages[1]));
  ASSERT_TRUE(plane->runner_message(
      1, messages::Chunk{start.token, messages::OutputStream::err, sent, "tail"}, now));
  ASSERT_TRUE(ended(1, start.token, JobState::cancelled, sent + 4));
  EXPECT_EQ(plane->list({}, now).jobs.front().state, JobState::cancelled);
}

TEST_F(JobPlaneTest, a_runner_that_breaks_the_rules_is_refused) {
  const auto refused = [this](RunnerId id, messages::RunnerMessage message) {
    const auto done = plane->runner_message(id, std::move(message), now);
    return done ? StatusCode::ok : done.error().code;
  };
  EXPECT_EQ(refused(1, messages::RunnerReady{1}), StatusCode::failed_precondition);
  messages::RunnerHello odd = hello("x", 1);
  odd.isolation = "perfect";
  EXPECT_EQ(refused(2, odd), StatusCode::invalid_argument);
  const auto fresh = [this](RunnerId id) {
    join(id, 1);
    EXPECT_TRUE(plane->submit(100 + id, spec(), now));
    return start_of(id).token;
  };
  std::uint64_t token = fresh(3);
  EXPECT_EQ(refused(3, messages::Chunk{token, messages::OutputStream::out, 0, "early"}),
            StatusCode::failed_precondition);
  token = fresh(4);
  started(4, token);
  EXPECT_EQ(refused(4, messages::Chunk{token, messages::OutputStream::out, 1, "gap"}),
            StatusCode::data_loss);
  token = fresh(5);
  EXPECT_EQ(
      refused(5, messages::AttemptEnded{token, {.state = JobState::succeeded, .output_bytes = 1}}),
      StatusCode::data_loss);
  token = fresh(6);
  EXPECT_EQ(refused(6, messages::AttemptEnded{token, {.state = JobState::queued}}),
            StatusCode::invalid_argument);
  token = fresh(7);
  EXPECT_EQ(refused(7, hello("again", 1)), StatusCode::failed_precondition);
  EXPECT_EQ(plane->counts().runners, 0u);
  EXPECT_EQ(plane->counts().live, 0u);
}

TEST_F(JobPlaneTest, messages_about_a_token_that_is_not_the_runners_are_stale) {
  join(1, 1);
  join(2, 1);
  ASSERT_TRUE(plane->submit(10, spec(), now));
  const messages::Start start = start_of(1);
  sent_to(2);
  ASSERT_TRUE(ended(2, start.token, JobState::succeeded));
  EXPECT_EQ(plane->counts().live, 1u);
  EXPECT_EQ(plane->counts().stale, 1u);
  EXPECT_TRUE(std::holds_alternative<messages::Settled>(sent_to(2).back()));
}

TEST_F(JobPlaneTest, a_name_belongs_to_one_live_runner) {
  join(1, 1);
  messages::RunnerHello other = hello("r1", 1);
  other.instance = "another";
  const auto refused = plane->runner_message(2, other, now);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, StatusCode::already_exists);
  EXPECT_NE(refused.error().text.find("duplicate_runner"), std::string::npos);
  ASSERT_TRUE(plane->runner_message(3, hello("r1", 1), now)) << "the same instance comes back";
  bool dismissed = false;
  while (const auto ready = plane->poll_ready()) {
    if (const auto* gone = std::get_if<RunnerDismissed>(&*ready)) dismissed = gone->runner == 1;
  }
  EXPECT_TRUE(dismissed);
  EXPECT_EQ(plane->counts().runners, 1u);
}

TEST_F(JobPlaneTest, a_draining_runner_gets_nothing_new_and_may_come_back) {
  join(1, 1);
  ASSERT_TRUE(plane->runner_message(1, messages::RunnerReady{0}, now));
  ASSERT_TRUE(plane->submit(10, spec(), now));
  EXPECT_EQ(std::get<messages::Waiting>(events(10).back()).reason, messages::WaitReason::draining);
  ASSERT_TRUE(plane->runner_message(1, messages::RunnerReady{1}, now));
  EXPECT_TRUE(std::holds_alternative<messages::Assigned>(events(10).back()));
}

TEST_F(JobPlaneTest, a_draining_node_refuses_submits_and_ends_what_waits) {
  join(1, 1);
  ASSERT_TRUE(plane->submit(10, spec(), now));
  ASSERT_TRUE(plane->submit(11, spec(), now));
  plane->drain(now);
  EXPECT_EQ(result_of(11).state, JobState::cancelled);
  EXPECT_EQ(plane->submit(12, spec(), now).error().code, StatusCode::unavailable);
  EXPECT_TRUE(std::holds_alternative<messages::Drain>(sent_to(1).back()));
  EXPECT_EQ(plane->counts().live, 1u) << "what runs may finish";
}

TEST_F(JobPlaneTest, a_label_cannot_stand_in_for_what_the_node_knows) {
  join(1, 1, {{"isolation", "cgroup"}, {"runner", "other"}});
  ASSERT_TRUE(plane->submit(10, spec({"isolation=cgroup"}), now));
  EXPECT_TRUE(std::holds_alternative<messages::Waiting>(events(10).back()));
  ASSERT_TRUE(plane->submit(11, spec({"isolation=namespace", "runner=r1"}), now));
  EXPECT_TRUE(std::holds_alternative<messages::Assigned>(events(11).back()));
}

TEST_F(JobPlaneTest, bad_requests_are_refused_with_a_reason) {
  EXPECT_EQ(plane->submit(10, spec({"gpu"}), now).error().code, StatusCode::invalid_argument);
  ASSERT_TRUE(plane->submit(11, spec(), now));
  EXPECT_EQ(plane->submit(11, spec(), now).error().code, StatusCode::invalid_argument);
  ASSERT_TRUE(plane->submit(12, spec(), now));
  EXPECT_EQ(plane->get({.job = "job_"}, now).error().code, StatusCode::invalid_argument);
  EXPECT_EQ(plane->get({.job = "job_7"}, now).error().code, StatusCode::not_found);
  EXPECT_EQ(plane->get({.job = "job_0"}, now).error().code, StatusCode::invalid_argument);
}

TEST_F(JobPlaneTest, only_so_many_label_sets_may_wait) {
  for (std::size_t i = 0; i < kShapesMax; ++i) {
    ASSERT_TRUE(plane->submit(i, spec({"n=" + std::to_string(i)}), now));
  }
  EXPECT_TRUE(plane->submit(kShapesMax, spec({"n=0"}), now)) << "a known one is no new one";
  EXPECT_EQ(plane->submit(kShapesMax + 1, spec({"n=x"}), now).error().code,
            StatusCode::resource_exhausted);
}

TEST_F(JobPlaneTest, the_oldest_ended_jobs_are_forgotten) {
  make_plane(3);
  std::vector<std::string> ids;
  for (FollowerId i = 0; i < 5; ++i) {
    ids.push_back(plane->submit(i, spec(), now)->text());
    plane->cancel_run(i, {}, now);
    events(i);
  }
  EXPECT_EQ(plane->list({}, now).total, 3u);
  EXPECT_FALSE(plane->get({.job = ids[1]}, now));
  const auto listed = plane->list({.limit = 2}, now);
  ASSERT_EQ(listed.jobs.size(), 2u);
  EXPECT_EQ(listed.jobs[0].job, ids[4]) << "newest first";
  EXPECT_EQ(listed.total, 3u);
  EXPECT_TRUE(plane->list({.live_only = true}, now).jobs.empty());
}

}  // namespace
}  // namespace valkyrie::jobs
