#include "server/jobs/job_services.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "server/jobs/virtual_job_store.h"
#include "server/jobs/virtual_log_store.h"

namespace valkyrie::jobs {
namespace {

using namespace std::chrono_literals;
using protocol::CloseCode;
using protocol::Outcome;
using protocol::StatusCode;

// Keeps what the services say; a stream that is stopped takes each message and asks for no more.
class FakePort final : public router::LocalPort {
 public:
  struct Stream {
    std::vector<std::string> messages;
    std::optional<StatusCode> ended;
    std::uint32_t consumed = 0;
    bool stopped = false;
  };

  void answer(std::uint64_t call, const protocol::Status& status,
              std::span<const std::byte> payload) override {
    codes[call] = status.code;
    replies[call] = text_of(payload);
  }
  bool send(std::uint64_t stream, std::span<const std::byte> message, std::uint8_t) override {
    streams[stream].messages.push_back(text_of(message));
    return !streams[stream].stopped;
  }
  bool writable(std::uint64_t stream) const override { return !streams.at(stream).stopped; }
  void consume(std::uint64_t stream, std::uint32_t bytes) override {
    streams[stream].consumed += bytes;
  }
  void end(std::uint64_t stream, const protocol::Status& status) override {
    streams[stream].ended = status.code;
  }
  void reset(std::uint64_t stream, CloseCode, std::string_view) override { streams.erase(stream); }

  std::map<std::uint64_t, StatusCode> codes;
  std::map<std::uint64_t, std::string> replies;
  std::map<std::uint64_t, Stream> streams;

 private:
  static std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

constexpr std::uint64_t kSubmitter = 1;
constexpr std::uint64_t kRunner = 2;

class JobServicesTest : public ::testing::Test {
 protected:
  JobServicesTest()
      : services({.node = "n-1",
                  .epoch = 1,
                  .unix_ms = [] { return std::uint64_t{1}; },
                  .random = [] { return std::uint64_t{2}; }},
                 store, logs) {}

  [[nodiscard]] router::LocalStream stream(std::uint64_t id) { return {port, id}; }

  void open(router::LocalService& service, std::uint64_t id, std::string_view method) {
    service.on_stream(stream(id), {.method = method, .caller = caller}, now);
  }
  void say(router::LocalService& service, std::uint64_t id, const std::string& body) {
    service.on_message(stream(id), {.payload = std::as_bytes(std::span(body)), .cost = 20}, now);
  }
  void say(const messages::RunInput& input) { say(services.jobs(), kSubmitter, encode(input)); }
  void say(const messages::RunnerMessage& message) {
    say(services.runners(), kRunner, encode(message));
  }
  void call(router::LocalService& service, std::uint64_t id, std::string_view method,
            const std::string& body) {
    service.on_request(
        {port, id}, {.method = method, .payload = std::as_bytes(std::span(body)), .caller = caller},
        now);
  }

  void join_runner() {
    open(services.runners(), kRunner, "Work");
    say(messages::RunnerHello{
        .name = "r", .instance = "i", .boot_id = "b", .isolation = "none", .slots = 1});
  }
  void submit() {
    open(services.jobs(), kSubmitter, "Run");
    say(messages::RunRequest{.spec = {.argv = {"true"}}});
  }

  // What a stream was sent, decoded.
  template <class T>
  std::vector<T> sent(std::uint64_t id) {
    std::vector<T> result;
    for (const std::string& body : port.streams[id].messages) {
      result.push_back(messages::decode<T>(std::as_bytes(std::span(body))).value());
    }
    return result;
  }
  // The token of the Start that the runner was sent.
  std::uint64_t started_token() {
    for (const auto& message : sent<messages::NodeMessage>(kRunner)) {
      if (const auto* start = std::get_if<messages::Start>(&message)) return start->token;
    }
    return 0;
  }

  protocol::Instant now{};
  router::Caller caller;
  FakePort port;
  MemoryJobStore store;
  VirtualLogStore logs;
  JobServices services;
};

TEST_F(JobServicesTest, carry_a_job_from_submit_to_end) {
  join_runner();
  submit();
  const std::uint64_t token = started_token();
  ASSERT_NE(token, 0U);
  say(messages::AttemptStarted{.token = token});
  say(messages::Chunk{
      .token = token, .stream = messages::OutputStream::out, .offset = 0, .data = "hello"});
  say(messages::AttemptFinishing{.token = token});
  say(messages::AttemptEnded{.token = token,
                             .result = {.state = messages::JobState::succeeded,
                                        .output_bytes = 5,
                                        .evidence = {.method = "process_group"}}});
  const auto events = sent<messages::JobEvent>(kSubmitter);
  ASSERT_FALSE(events.empty());
  EXPECT_TRUE(std::holds_alternative<messages::Accepted>(events.front()));
  EXPECT_TRUE(std::ranges::any_of(events, [](const messages::JobEvent& event) {
    const auto* output = std::get_if<messages::Output>(&event);
    return output != nullptr && output->data == "hello";
  }));
  const auto* ended = std::get_if<messages::Ended>(&events.back());
  ASSERT_NE(ended, nullptr);
  EXPECT_EQ(ended->result.state, messages::JobState::succeeded);
  EXPECT_EQ(port.streams[kSubmitter].ended, StatusCode::ok);
  EXPECT_EQ(port.streams[kSubmitter].consumed, 20U) << "credit returns as messages are read";
}

TEST_F(JobServicesTest, send_no_more_to_a_stream_that_said_stop) {
  open(services.jobs(), kSubmitter, "Run");
  port.streams[kSubmitter].stopped = true;
  say(messages::RunRequest{.spec = {.argv = {"true"}}});
  EXPECT_EQ(port.streams[kSubmitter].messages.size(), 1U) << "Accepted; Waiting waits";
  port.streams[kSubmitter].stopped = false;
  services.jobs().on_writable(stream(kSubmitter), now);
  EXPECT_EQ(port.streams[kSubmitter].messages.size(), 2U);
}

TEST_F(JobServicesTest, cancel_the_job_of_a_stream_that_is_over) {
  for (const bool end_first : {true, false}) {
    submit();
    EXPECT_EQ(services.plane().counts().live, 1U);
    if (end_first) {
      services.jobs().on_end(stream(kSubmitter), now);
      EXPECT_EQ(port.streams[kSubmitter].ended, StatusCode::ok);
    }
    services.jobs().on_closed(stream(kSubmitter), CloseCode::destination_lost, now);
    EXPECT_EQ(services.plane().counts().live, 0U);
  }
}

TEST_F(JobServicesTest, lose_the_runner_with_its_stream) {
  join_runner();
  submit();
  services.runners().on_closed(stream(kRunner), CloseCode::destination_lost, now);
  const auto events = sent<messages::JobEvent>(kSubmitter);
  const auto* ended = std::get_if<messages::Ended>(&events.back());
  ASSERT_NE(ended, nullptr);
  EXPECT_EQ(ended->result.reason, messages::EndReason::runner_lost);
  EXPECT_EQ(services.plane().counts().runners, 0U);
}

TEST_F(JobServicesTest, end_streams_that_break_the_rules) {
  open(services.jobs(), kSubmitter, "Run");
  say(services.jobs(), kSubmitter, "\xff\xff");
  EXPECT_EQ(port.streams[kSubmitter].ended, StatusCode::invalid_argument);
  open(services.runners(), kRunner, "Work");
  say(services.runners(), kRunner, "\xff\xff");
  EXPECT_EQ(port.streams[kRunner].ended, StatusCode::invalid_argument);

  open(services.jobs(), 3, "Run");
  say(services.jobs(), 3, encode(messages::RunInput(messages::CancelRequest{})));
  EXPECT_EQ(port.streams[3].ended, StatusCode::invalid_argument) << "nothing to cancel";

  open(services.jobs(), 4, "Run");
  const messages::RunInput request = messages::RunRequest{.spec = {.argv = {"true"}}};
  say(services.jobs(), 4, encode(request));
  say(services.jobs(), 4, encode(request));
  EXPECT_EQ(port.streams[4].ended, StatusCode::invalid_argument) << "a second job";
  EXPECT_EQ(services.plane().counts().live, 0U) << "and the first was cancelled with it";

  open(services.runners(), 5, "Work");
  say(services.runners(), 5, encode(messages::RunnerMessage(messages::RunnerReady{.slots = 1})));
  EXPECT_EQ(port.streams[5].ended, StatusCode::failed_precondition) << "no hello";
}

TEST_F(JobServicesTest, end_the_older_stream_of_a_runner_that_connected_again) {
  join_runner();
  open(services.runners(), 7, "Work");
  say(services.runners(), 7,
      encode(messages::RunnerMessage(messages::RunnerHello{
          .name = "r", .instance = "i", .boot_id = "b", .isolation = "none", .slots = 1})));
  EXPECT_EQ(port.streams[kRunner].ended, StatusCode::aborted);
  EXPECT_FALSE(port.streams[7].ended.has_value());
  EXPECT_EQ(services.plane().counts().runners, 1U);
}

TEST_F(JobServicesTest, answer_lists_and_refuse_what_is_not_there) {
  join_runner();
  submit();
  call(services.jobs(), 10, "List", encode(messages::ListJobsRequest{}));
  const auto jobs =
      messages::decode<messages::ListJobsReply>(std::as_bytes(std::span(port.replies[10])));
  ASSERT_TRUE(jobs.has_value());
  ASSERT_EQ(jobs->jobs.size(), 1U);
  call(services.jobs(), 11, "Get", encode(messages::GetJobRequest{.job = jobs->jobs[0].job}));
  EXPECT_EQ(port.codes[11], StatusCode::ok);
  call(services.jobs(), 12, "Get", encode(messages::GetJobRequest{.job = "job_nothere"}));
  EXPECT_NE(port.codes[12], StatusCode::ok);
  call(services.jobs(), 13, "Cancel", encode(messages::CancelJobRequest{.job = jobs->jobs[0].job}));
  EXPECT_EQ(port.codes[13], StatusCode::ok);
  call(services.runners(), 14, "List", encode(messages::ListRunnersRequest{}));
  const auto runners =
      messages::decode<messages::ListRunnersReply>(std::as_bytes(std::span(port.replies[14])));
  ASSERT_TRUE(runners.has_value());
  EXPECT_EQ(runners->runners.size(), 1U);
  call(services.jobs(), 15, "List", "\xff");
  EXPECT_EQ(port.codes[15], StatusCode::invalid_argument);
}

TEST_F(JobServicesTest, answer_a_submit_with_what_the_store_can_promise) {
  call(services.jobs(), 7, "Submit",
       messages::encode(messages::SubmitRequest{.specs = {{.argv = {"true"}}}, .key = "k"}));
  const auto reply =
      messages::decode<messages::SubmitReply>(std::as_bytes(std::span(port.replies.at(7))));
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->ack, messages::Ack::received) << "memory promises no more";
  EXPECT_EQ(reply->jobs.size(), 1u);
}

TEST(DurableJobServices, answer_once_the_store_has_it) {
  VirtualJobStore store;
  VirtualLogStore logs;
  JobServices services({.node = "n-1",
                        .epoch = 1,
                        .unix_ms = [] { return std::uint64_t{1}; },
                        .random = [] { return std::uint64_t{2}; }},
                       store, logs);
  FakePort port;
  const router::Caller caller;
  const auto call = [&](std::uint64_t id, std::string_view method, const std::string& body) {
    services.jobs().on_request(
        {port, id}, {.method = method, .payload = std::as_bytes(std::span(body)), .caller = caller},
        {});
  };
  messages::SubmitRequest request{.specs = {{.argv = {"true"}}}, .key = "k"};
  call(1, "Submit", messages::encode(request));
  call(2, "Submit", messages::encode(request));  // Again, before the first has its answer.
  request.ack = messages::Ack::received;
  request.key.clear();
  call(3, "Submit", messages::encode(request));
  EXPECT_FALSE(port.codes.contains(1));
  EXPECT_FALSE(port.codes.contains(2));
  EXPECT_TRUE(port.codes.contains(3)) << "it asked for no more than memory";
  store.commit();
  services.on_durable();
  ASSERT_TRUE(port.codes.contains(1));
  const auto reply =
      messages::decode<messages::SubmitReply>(std::as_bytes(std::span(port.replies.at(2))));
  ASSERT_TRUE(reply.has_value());
  EXPECT_TRUE(reply->known);
  EXPECT_EQ(reply->ack, messages::Ack::persisted);
  call(4, "Submit",
       messages::encode(messages::SubmitRequest{.specs = {{.argv = {"false"}}}, .key = "k"}));
  EXPECT_EQ(port.codes.at(4), StatusCode::already_exists);
}

// Lets its owner do everything but one thing.
class GateWithout final : public policy::Gate {
 public:
  explicit GateWithout(policy::Action action) : action_(action) {}
  std::optional<std::string> denial_of(policy::Action action, const policy::Name& name,
                                       const policy::Occasion&) override {
    if (action != action_) return std::nullopt;
    return std::string(name.name) + " is not for you";
  }
  policy::Grants grants() const override { return {}; }
  std::uint32_t generation() const override { return 0; }
  bool unchanged(std::uint32_t, protocol::Instant) const override { return true; }
  policy::LimitHit begin_call(protocol::Instant, bool&) override { return policy::LimitHit::none; }
  void end_call() override {}
  bool take_message(protocol::Instant) override { return true; }
  std::string limit_text(policy::LimitHit) const override { return {}; }
  protocol::QosClass lowered(protocol::QosClass wanted) const override { return wanted; }

 private:
  policy::Action action_;
};

TEST_F(JobServicesTest, show_a_job_to_those_alone_who_may_read_its_log) {
  call(services.jobs(), 7, "Submit",
       messages::encode(
           messages::SubmitRequest{.specs = {{.name = "build", .argv = {"true"}}}, .key = {}}));
  const auto reply =
      messages::decode<messages::SubmitReply>(std::as_bytes(std::span(port.replies.at(7))));
  ASSERT_TRUE(reply.has_value());
  const std::string request =
      messages::encode(messages::WatchJobRequest{.job = reply->jobs.front()});
  open(services.jobs(), 20, "Watch");
  say(services.jobs(), 20, request);
  EXPECT_EQ(sent<messages::JobEvent>(20).size(), 3u) << "Accepted, Waiting, CaughtUp";
  caller.gate = std::make_shared<GateWithout>(policy::Action::read_logs);
  open(services.jobs(), 21, "Watch");
  say(services.jobs(), 21, request);
  EXPECT_TRUE(sent<messages::JobEvent>(21).empty());
  EXPECT_EQ(port.streams[21].ended, StatusCode::permission_denied);
}

TEST_F(JobServicesTest, tell_runners_and_submitters_of_a_drain) {
  submit();
  open(services.runners(), kRunner, "Work");
  services.jobs().on_drain(30s, now);
  const auto events = sent<messages::JobEvent>(kSubmitter);
  EXPECT_TRUE(std::holds_alternative<messages::Ended>(events.back()));
  open(services.jobs(), 6, "Run");
  say(services.jobs(), 6,
      encode(messages::RunInput(messages::RunRequest{.spec = {.argv = {"true"}}})));
  EXPECT_EQ(port.streams[6].ended, StatusCode::unavailable);
}

TEST_F(JobServicesTest, do_what_is_due) {
  open(services.jobs(), kSubmitter, "Run");
  say(messages::RunRequest{.spec = {.argv = {"true"}, .timeout_queue_ms = 1000}});
  ASSERT_TRUE(services.jobs().deadline().has_value());
  EXPECT_EQ(*services.jobs().deadline(), now + 1s);
  now += 1s;
  services.jobs().on_deadline(now);
  const auto events = sent<messages::JobEvent>(kSubmitter);
  const auto* ended = std::get_if<messages::Ended>(&events.back());
  ASSERT_NE(ended, nullptr);
  EXPECT_EQ(ended->result.reason, messages::EndReason::timeout_queue);
}

}  // namespace
}  // namespace valkyrie::jobs
