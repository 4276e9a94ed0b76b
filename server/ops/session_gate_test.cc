#include "server/ops/session_gate.h"

#include <array>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace valkyrie::server {
namespace {

using namespace std::chrono_literals;
using protocol::Instant;
using protocol::QosClass;
using namespace policy;  // NOLINT(google-build-using-namespace): all of it is about these.

constexpr Instant kNow{1000s};

// Keeps what is written, or fails.
class Records final : public AuditSink {
 public:
  [[nodiscard]] bool write(const AuditRecord& record) override {
    lines.push_back(std::string(record.who) + ' ' + std::string(record.action) + ' ' +
                    std::string(record.what) + ' ' + std::string(record.from) + ' ' +
                    (record.decision == AuditDecision::refused ? "refused" : "allowed"));
    reasons.emplace_back(record.reason);
    traces.emplace_back(record.trace);
    return works;
  }

  bool works = true;
  std::vector<std::string> lines;
  std::vector<std::string> reasons;
  std::vector<std::string> traces;
};

Grants granted(std::string_view rule, const RoleLimits& limits = {}) {
  const Identity ann{.method = AuthenticationMethod::token, .subject = "ann"};
  auto parsed = Rule::parse(Effect::allow, rule);
  const auto policy = Policy::compile(
      {.roles = {{.name = "r", .rules = {*std::move(parsed)}, .limits = limits}},
       .bindings = {{.method = AuthenticationMethod::token, .pattern = "ann", .role = "r"}}});
  return policy->grants_of(ann);
}

class SessionGateTest : public ::testing::Test {
 protected:
  SessionGate gate(const Grants& grants, std::optional<Instant> until = std::nullopt) {
    return {grants, {.who = "ann", .from = "here"}, &records, usage, until};
  }

  Records records;
  std::shared_ptr<Usage> usage = std::make_shared<Usage>();
};

TEST_F(SessionGateTest, denial_tells_a_peer_what_is_not_allowed_and_why_and_is_written_down) {
  SessionGate tested = gate(granted("call:a.*"));
  EXPECT_EQ(tested.denial_of(Action::call, {.name = "a.B", .method = "C"}, {.now = kNow}),
            std::nullopt);
  EXPECT_TRUE(records.lines.empty());
  std::array<std::byte, 25> trace{};
  trace.fill(std::byte{0xAB});
  EXPECT_EQ(
      tested.denial_of(Action::call, {.name = "b.B", .method = "C"}, {.now = kNow, .trace = trace}),
      "call of b.B/C is not allowed: no rule of its roles allows it");
  EXPECT_EQ(records.lines, std::vector<std::string>{"ann call b.B/C here refused"});
  EXPECT_EQ(records.reasons, std::vector<std::string>{"no rule of its roles allows it"});
  EXPECT_EQ(records.traces, std::vector<std::string>{"abababababababababababababababab"});
  EXPECT_EQ(denial_of(nullptr, Action::call, {.name = "b.B"}, {}), std::nullopt);
}

TEST_F(SessionGateTest, administration_is_written_down_and_refused_where_it_cannot_be) {
  SessionGate tested = gate(granted("administer:bans"));
  EXPECT_EQ(tested.denial_of(Action::administer, {.name = "bans"}, {.now = kNow}), std::nullopt);
  EXPECT_EQ(records.lines, std::vector<std::string>{"ann administer bans here allowed"});
  records.works = false;
  EXPECT_EQ(tested.denial_of(Action::administer, {.name = "bans"}, {.now = kNow}),
            "the node cannot write its audit log");
}

TEST_F(SessionGateTest, refusals_beyond_the_burst_are_counted_instead_of_written) {
  SessionGate tested = gate(granted("call:a.*"));
  const auto ask = [&](Instant now) {
    static_cast<void>(tested.denial_of(Action::serve, {.name = "b"}, {.now = now}));
  };
  for (std::uint32_t i = 0; i < kRefusalRecordsBurst; ++i) ask(kNow);
  EXPECT_EQ(records.lines.size(), kRefusalRecordsBurst);
  ask(kNow);
  ask(kNow + 999ms);
  EXPECT_EQ(records.lines.size(), kRefusalRecordsBurst);
  ask(kNow + 1s);
  ASSERT_EQ(records.lines.size(), kRefusalRecordsBurst + 1);
  EXPECT_EQ(records.reasons.back(),
            "no rule of its roles allows it; 2 more before were not written");
}

TEST_F(SessionGateTest, answers_are_kept_until_something_changes) {
  SessionGate tested = gate(granted("call:a.*"), kNow + 1min);
  const std::uint32_t before = tested.generation();
  EXPECT_TRUE(tested.unchanged(before, kNow));
  EXPECT_FALSE(tested.unchanged(before, kNow + 1min));
  tested.replace(granted("call:b.*"));
  EXPECT_FALSE(tested.unchanged(before, kNow));
  EXPECT_EQ(tested.denial_of(Action::call, {.name = "b.B"}, {.now = kNow}), std::nullopt);
  EXPECT_NE(tested.denial_of(Action::call, {.name = "a.B"}, {.now = kNow}), std::nullopt);
  tested.shut("it is over");
  EXPECT_EQ(tested.denial_of(Action::call, {.name = "b.B"}, {.now = kNow}),
            "call of b.B is not allowed: it is over");
}

TEST_F(SessionGateTest, it_closes_when_its_time_is_over) {
  SessionGate tested = gate(granted("call:a.*"), kNow);
  EXPECT_EQ(tested.denial_of(Action::call, {.name = "a.B"}, {.now = kNow - 1ns}), std::nullopt);
  EXPECT_NE(tested.denial_of(Action::call, {.name = "a.B"}, {.now = kNow}), std::nullopt);
}

TEST_F(SessionGateTest, class_is_lowered_to_the_ceiling_of_the_roles) {
  EXPECT_EQ(gate(granted("*")).lowered(QosClass::critical), QosClass::critical);
  const RoleLimits limits{.qos_ceiling = QosClass::data};
  EXPECT_EQ(gate(granted("*", limits)).lowered(QosClass::job), QosClass::data);
  EXPECT_EQ(gate(granted("*", limits)).lowered(QosClass::data), QosClass::data);
  EXPECT_EQ(gate(granted("*", limits)).lowered(QosClass::telemetry), QosClass::telemetry);
}

TEST_F(SessionGateTest, calls_begin_up_to_the_limits_of_the_identity_over_all_its_sessions) {
  SessionGate first = gate(granted("*", {.calls_per_second = 4, .in_flight_max = 2}));
  SessionGate second = gate(granted("*", {.calls_per_second = 4, .in_flight_max = 2}));
  bool lasts = false;
  EXPECT_EQ(first.begin_call(kNow, lasts), LimitHit::none);
  EXPECT_TRUE(lasts);
  EXPECT_EQ(second.begin_call(kNow, lasts), LimitHit::none);
  EXPECT_EQ(first.begin_call(kNow, lasts), LimitHit::in_flight);
  EXPECT_FALSE(lasts);
  first.end_call();
  EXPECT_EQ(first.begin_call(kNow, lasts), LimitHit::none);
  second.end_call();
  EXPECT_TRUE(first.take_message(kNow));
  EXPECT_FALSE(second.take_message(kNow));
  EXPECT_EQ(second.begin_call(kNow, lasts), LimitHit::rate);
  EXPECT_EQ(second.begin_call(kNow + 250ms, lasts), LimitHit::none);
  EXPECT_EQ(first.limit_text(LimitHit::rate),
            "ann begins more than the 4 calls a second that its roles allow");
}

TEST(Usage, without_limits_nothing_is_counted) {
  const auto usage = std::make_shared<Usage>();
  SessionGate gate(granted("*"), {}, nullptr, usage);
  bool lasts = true;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(gate.begin_call(kNow, lasts), LimitHit::none);
  EXPECT_FALSE(lasts);
  EXPECT_TRUE(usage->idle(kNow));
}

TEST(UsageTable, identity_has_one_usage_and_none_without_use_is_kept) {
  UsageTable table;
  const auto ann = table.of("ann", kNow);
  EXPECT_EQ(table.of("ann", kNow), ann);
  EXPECT_TRUE(ann->take(1, kNow));
  EXPECT_FALSE(table.of("ann", kNow)->take(1, kNow));
  for (int i = 0; i < 1000; ++i) static_cast<void>(table.of(std::to_string(i), kNow));
  EXPECT_LE(table.size(), 128U);
  EXPECT_EQ(table.of("ann", kNow), ann);
}

}  // namespace
}  // namespace valkyrie::server
