#include <gtest/gtest.h>
#include <span>
#include <string>

#include "protocol/messages/jobs.h"
#include "protocol/messages/registry.h"

namespace valkyrie::messages {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

JobSpec full_spec() {
  return {.name = "build",
          .argv = {"make", "-j2", std::string("\xff", 1)},
          .commands = {},
          .environment = {{"PATH", "/bin"}, {"EMPTY", ""}},
          .require = {"os=linux", "arch=amd64"},
          .timeout_queue_ms = 1,
          .timeout_start_ms = 2,
          .timeout_run_ms = kTimeoutMsMax};
}

JobResult full_result() {
  return {
      .state = JobState::failed,
      .reason = EndReason::signal,
      .text = "killed",
      .exit_code = -1,
      .signal = 9,
      .duration_ns = 12,
      .output_bytes = 34,
      .usage = {.user_ns = 1, .system_ns = 2, .memory_peak_bytes = 3},
      .evidence = {.method = "namespace",
                   .complete = true,
                   .signals = {{.signal = 15, .after_ms = 0, .processes = 2}},
                   .leftovers = 1,
                   .init_reaped = true,
                   .workspace_removed = true,
                   .survivors = {{.pid = 7, .state = "D", .wait_channel = "w", .command = "c"}}}};
}

template <class T>
void expect_round_trip(const T& value) {
  const std::string encoded = encode(value);
  const auto decoded = decode<T>(bytes_of(encoded));
  ASSERT_TRUE(decoded.has_value()) << to_string(decoded.error());
  EXPECT_EQ(*decoded, value);
}

// Every proper prefix is a value or an error, never a crash; the suite's sanitizers watch.
template <class T>
void expect_prefixes_are_safe(const T& value) {
  const std::string encoded = encode(value);
  for (std::size_t size = 0; size < encoded.size(); ++size) {
    (void)decode<T>(bytes_of(encoded).first(size));
  }
}

TEST(JobsMessages, every_message_survives_the_round_trip) {
  expect_round_trip<RunInput>(RunRequest{full_spec()});
  expect_round_trip<RunInput>(CancelRequest{});
  expect_round_trip<RunInput>(CancelRequest{.grace_ms = 0});
  expect_round_trip<JobEvent>(Accepted{"job_x"});
  expect_round_trip<JobEvent>(Waiting{WaitReason::no_match, "0 of 2", 2, 0});
  expect_round_trip<JobEvent>(Assigned{"r1", 1, 99});
  expect_round_trip<JobEvent>(Running{5});
  expect_round_trip<JobEvent>(Output{OutputStream::err, 7, std::string("a\0b", 3)});
  expect_round_trip<JobEvent>(Cancelling{"client"});
  expect_round_trip<JobEvent>(Ended{full_result()});
  const JobView view{.job = "job_x",
                     .name = "n",
                     .state = JobState::failed,
                     .attempt = 2,
                     .runner = "r",
                     .submitted_unix_ms = 1,
                     .age_ns = 2,
                     .waiting = Waiting{},
                     .result = full_result(),
                     .require = {"a=b"}};
  expect_round_trip(view);
  expect_round_trip(ListJobsRequest{.limit = 5, .live_only = true});
  expect_round_trip(ListJobsReply{{view, JobView{}}, 7});
  expect_round_trip(GetJobRequest{"job_"});
  expect_round_trip(CancelJobRequest{"job_", 0});
  expect_round_trip(CancelJobReply{"job_", JobState::cancelling});
  expect_round_trip(ListRunnersRequest{});
  expect_round_trip(ListRunnersReply{{RunnerView{.name = "r",
                                                 .boot_id = "b",
                                                 .version = "1",
                                                 .isolation = "none",
                                                 .slots = 2,
                                                 .slots_busy = 1,
                                                 .draining = true,
                                                 .labels = {{"os", "linux"}},
                                                 .jobs = {"job_x"},
                                                 .age_ns = 4}}});
  expect_prefixes_are_safe<JobEvent>(Ended{full_result()});
  expect_prefixes_are_safe<RunInput>(RunRequest{full_spec()});
}

TEST(RunnersMessages, every_message_survives_the_round_trip) {
  expect_round_trip<RunnerMessage>(
      RunnerHello{"r", "i", "b", "1", "namespace", kRunnerSlotsMax, {{"os", "linux"}}});
  expect_round_trip<RunnerMessage>(RunnerReady{0});
  expect_round_trip<RunnerMessage>(AttemptStarted{1, 2});
  expect_round_trip<RunnerMessage>(Chunk{1, OutputStream::out, 2, "x"});
  expect_round_trip<RunnerMessage>(AttemptFinishing{~0ull});
  expect_round_trip<RunnerMessage>(AttemptEnded{1, full_result()});
  expect_round_trip(SubmitRequest{{full_spec(), full_spec()}, "build-7", Ack::received});
  expect_round_trip<JobEvent>(CaughtUp{});
  expect_round_trip(WatchJobRequest{"job_a", 7});
  expect_round_trip(SubmitReply{{"job_a", "job_b"}, true, Ack::received});
  expect_round_trip<NodeMessage>(Welcome{"n"});
  expect_round_trip<NodeMessage>(Start{1, "job_x", 1, full_spec(), 65536});
  expect_round_trip<NodeMessage>(Start{.token = 1, .spec = full_spec(), .hold = true});
  expect_round_trip<NodeMessage>(Go{1});
  expect_round_trip<NodeMessage>(Window{1, 2});
  expect_round_trip<NodeMessage>(CancelAttempt{1, 10000, "why"});
  expect_round_trip<NodeMessage>(Settled{1});
  expect_round_trip<NodeMessage>(Drain{});
}

TEST(RegistryMessages, every_message_survives_the_round_trip) {
  const MethodInfo method{"SayHello", MethodKind::bidi, true, 5, 1000, true};
  expect_round_trip<RegisterMessage>(RegisterRequest{
      "hello.Greeter", "1.2", "i1", 100, 64, {{"zone", "a"}}, {method}, std::string(32, 'h')});
  expect_round_trip<RegisterMessage>(InstanceUpdate{});
  expect_round_trip<RegisterMessage>(InstanceUpdate{Health::healthy, 0, false});
  expect_round_trip<RegisterEvent>(RegisterReply{"i1"});
  expect_round_trip(ListServicesRequest{"hello"});
  expect_round_trip(ListServicesReply{{ServiceView{
      "hello.Greeter",
      {InstanceView{"i1", "1.2", InstanceState::draining, 1, 2, 3, 4, 5, "unix", {}, {method}}},
      {.deadline_ms = 100},
      {.ok = 1,
       .not_executed = 2,
       .maybe_executed = 3,
       .executed = 4,
       .streams = 5,
       .waiting = 6,
       .latency = {{.up_to_ns = 1023, .count = 7}, {.up_to_ns = UINT64_MAX, .count = 3}}}}}});
  expect_round_trip(NodeInfoRequest{});
  expect_round_trip(WhoAmIRequest{});
  expect_round_trip(WhoAmIReply{.method = 4,
                                .tenant = "acme",
                                .subject = "ci@example.com",
                                .address = "127.0.0.1:4",
                                .open = true,
                                .roles = {"deployer", "operator"}});
  expect_round_trip(NodeInfoReply{"n",
                                  "0.1",
                                  1,
                                  {{"valkyrie://127.0.0.1:1", {"native"}}},
                                  {{"frame", 65536}, {"zero", 0}},
                                  {{"calls", 1}},
                                  2,
                                  true});
}

TEST(Messages, the_encoding_is_that_of_the_proto_file) {
  // Checked against protoc --encode=valkyrie.JobEvent.
  EXPECT_EQ(encode(JobEvent(Output{OutputStream::err, 300, "hi"})),
            std::string("\x2a\x09\x08\x02\x10\xac\x02\x1a\x02hi", 11));
  EXPECT_EQ(encode(RunInput(CancelRequest{.grace_ms = 0})), std::string("\x12\x02\x08\x00", 4));
}

TEST(Messages, fields_of_a_newer_peer_are_skipped) {
  const std::string encoded = encode(GetJobRequest{"job_x"}) + std::string("\xf8\x07\x01", 3);
  EXPECT_EQ(decode<GetJobRequest>(bytes_of(encoded))->job, "job_x");
}

TEST(Messages, a_known_field_of_another_wire_type_is_skipped) {
  EXPECT_EQ(decode<GetJobRequest>(bytes_of("\x08\x05"))->job, "");
}

TEST(Messages, an_empty_oneof_is_refused) {
  EXPECT_EQ(decode<RunInput>({}).error(), DecodeError::missing);
  EXPECT_EQ(decode<NodeMessage>({}).error(), DecodeError::missing);
}

TEST(Messages, text_must_be_utf8) {
  for (const char* bad : {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) {
    EXPECT_EQ(decode<GetJobRequest>(bytes_of(encode(GetJobRequest{bad}))).error(),
              DecodeError::not_utf8);
  }
  EXPECT_TRUE(
      decode<GetJobRequest>(bytes_of(encode(GetJobRequest{"\xf0\x9f\x9a\x80 \xe2\x82\xac"}))));
}

TEST(Messages, each_limit_holds_on_both_sides) {
  const auto refused = [](const JobSpec& spec) {
    const auto decoded = decode<RunInput>(bytes_of(encode(RunInput(RunRequest{spec}))));
    return decoded.has_value() ? std::string("accepted") : std::string(to_string(decoded.error()));
  };
  JobSpec spec{.argv = {"x"}};
  spec.name = std::string(kNameBytesMax, 'n');
  EXPECT_EQ(refused(spec), "accepted");
  spec.name += 'n';
  EXPECT_EQ(refused(spec), "limit");

  spec = {.argv = std::vector<std::string>(kSpecEntriesMax, "x")};
  EXPECT_EQ(refused(spec), "accepted");
  spec.argv.emplace_back("x");
  EXPECT_EQ(refused(spec), "limit");

  spec = {.argv = {"x"}, .require = std::vector<std::string>(kLabelsMax, "a=b")};
  EXPECT_EQ(refused(spec), "accepted");
  spec.require.emplace_back("a=b");
  EXPECT_EQ(refused(spec), "limit");

  spec = {.argv = {"x"}, .timeout_run_ms = kTimeoutMsMax};
  EXPECT_EQ(refused(spec), "accepted");
  spec.timeout_run_ms += 1;
  EXPECT_EQ(refused(spec), "value");

  spec = {.argv = {"x"}};
  spec.argv.emplace_back(kJobSpecBytesMax - encode(spec).size() - 4, 'a');
  EXPECT_EQ(encode(spec).size(), kJobSpecBytesMax);
  EXPECT_EQ(refused(spec), "accepted");
  spec.argv.back() += 'a';
  EXPECT_EQ(refused(spec), "limit");

  RunnerMessage chunk = Chunk{1, OutputStream::out, 0, std::string(kChunkBytesMax, 'a')};
  EXPECT_TRUE(decode<RunnerMessage>(bytes_of(encode(chunk))));
  std::get<Chunk>(chunk).data += 'a';
  EXPECT_EQ(decode<RunnerMessage>(bytes_of(encode(chunk))).error(), DecodeError::limit);
}

TEST(Messages, a_spec_that_cannot_be_executed_is_refused) {
  const auto error = [](const JobSpec& spec) {
    return decode<RunInput>(bytes_of(encode(RunInput(RunRequest{spec})))).error();
  };
  EXPECT_EQ(error({}), DecodeError::missing);
  EXPECT_EQ(error({.argv = {"a"}, .commands = {"b"}}), DecodeError::value);
  EXPECT_EQ(error({.argv = {""}}), DecodeError::value);
  EXPECT_EQ(error({.argv = {std::string("a\0b", 3)}}), DecodeError::value);
  EXPECT_EQ(error({.argv = {"a"}, .environment = {{"A=B", "c"}}}), DecodeError::value);
  EXPECT_EQ(error({.argv = {"a"}, .environment = {{"A", std::string("\0", 1)}}}),
            DecodeError::value);
  EXPECT_EQ(error({.argv = {"a"}, .environment = {{"", "b"}}}), DecodeError::missing);
}

TEST(Messages, an_absent_spec_is_refused) {
  EXPECT_EQ(decode<RunInput>(bytes_of(std::string("\x0a\x00", 2))).error(), DecodeError::missing);
  EXPECT_EQ(decode<NodeMessage>(bytes_of(std::string("\x12\x02\x08\x01", 4))).error(),
            DecodeError::missing);
}

TEST(Messages, an_unknown_enum_value_is_refused) {
  EXPECT_EQ(decode<CancelJobReply>(bytes_of("\x10\x0e")).error(), DecodeError::value);
  EXPECT_TRUE(decode<CancelJobReply>(bytes_of("\x10\x0d")));
}

TEST(Messages, a_registration_without_a_name_or_with_half_a_hash_is_refused) {
  const auto decoded = [](const RegisterRequest& request) {
    return decode<RegisterMessage>(bytes_of(encode(RegisterMessage(request))));
  };
  EXPECT_EQ(decoded({}).error(), DecodeError::missing);
  EXPECT_EQ(decoded({.service = "a", .descriptor_hash = "short"}).error(), DecodeError::value);
  EXPECT_EQ(decoded({.service = "a", .weight = kInstanceWeightMax + 1}).error(),
            DecodeError::value);
  EXPECT_TRUE(decoded({.service = "a", .weight = kInstanceWeightMax}));
}

}  // namespace
}  // namespace valkyrie::messages
