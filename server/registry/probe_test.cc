#include "server/registry/probe.h"

#include <chrono>
#include <gtest/gtest.h>

namespace valkyrie::registry {
namespace {

using namespace std::chrono_literals;
using protocol::Instant;

constexpr ProbeSettings kSettings{
    .interval = 10s, .timeout = 1s, .failures = 3, .successes = 2, .deregister = 5};

// A probe whose time the test moves to where it is due.
struct Probed {
  explicit Probed(const ProbeSettings& settings = kSettings) : probe(settings, 0, now) {}
  ProbeVerdict answer(bool well) {
    now = probe.due();
    probe.sent(now);
    now += 1ms;
    return probe.ended(well, now);
  }
  ProbeVerdict silence() {
    now = probe.due();
    if (probe.may_send()) {
      probe.sent(now);
      now = probe.due();
    }
    return probe.expired(now);
  }

  Instant now{1000s};
  Probe probe;
};

TEST(Probe, the_first_is_due_inside_an_interval_at_a_place_of_its_own) {
  const Instant now{1000s};
  EXPECT_EQ(Probe(kSettings, 0, now).due(), now);
  EXPECT_EQ(Probe(kSettings, 3'000'000'000, now).due(), now + 3s);
  EXPECT_EQ(Probe(kSettings, 13'000'000'000, now).due(), now + 3s);
}

TEST(Probe, one_that_answers_is_asked_once_an_interval) {
  Probed probed;
  for (int i = 0; i < 5; ++i) {
    const Instant due = probed.probe.due();
    EXPECT_EQ(probed.answer(true), ProbeVerdict::same);
    EXPECT_EQ(probed.probe.due(), due + 10s);
  }
}

TEST(Probe, failures_in_a_row_make_it_unhealthy_and_then_end_it) {
  Probed probed;
  EXPECT_EQ(probed.answer(false), ProbeVerdict::same);
  EXPECT_EQ(probed.answer(false), ProbeVerdict::same);
  EXPECT_EQ(probed.answer(false), ProbeVerdict::unhealthy);
  EXPECT_EQ(probed.answer(false), ProbeVerdict::same);
  EXPECT_EQ(probed.answer(false), ProbeVerdict::gone);
  EXPECT_EQ(probed.probe.failures(), 5U);
}

TEST(Probe, a_success_between_begins_the_count_anew) {
  Probed probed;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(probed.answer(false), ProbeVerdict::same);
    EXPECT_EQ(probed.answer(false), ProbeVerdict::same);
    EXPECT_EQ(probed.answer(true), ProbeVerdict::same);
  }
}

TEST(Probe, it_is_healthy_again_after_successes_in_a_row) {
  Probed probed;
  for (int i = 0; i < 2; ++i) probed.answer(false);
  EXPECT_EQ(probed.answer(false), ProbeVerdict::unhealthy);
  EXPECT_EQ(probed.answer(true), ProbeVerdict::same);
  EXPECT_EQ(probed.answer(false), ProbeVerdict::same);
  EXPECT_EQ(probed.answer(true), ProbeVerdict::same);
  EXPECT_EQ(probed.answer(true), ProbeVerdict::healthy);
  EXPECT_EQ(probed.answer(true), ProbeVerdict::same);
}

TEST(Probe, silence_counts_once_an_interval_and_nothing_more_is_sent_meanwhile) {
  Probed probed;
  const Instant start = probed.now;
  EXPECT_EQ(probed.silence(), ProbeVerdict::same);
  EXPECT_EQ(probed.now, start + 1s) << "the timeout";
  EXPECT_FALSE(probed.probe.may_send());
  EXPECT_EQ(probed.silence(), ProbeVerdict::same);
  EXPECT_EQ(probed.now, start + 10s);
  EXPECT_EQ(probed.silence(), ProbeVerdict::unhealthy);
  EXPECT_EQ(probed.now, start + 20s);
  EXPECT_EQ(probed.probe.silence(probed.now), 20s);
}

TEST(Probe, a_late_answer_counts_for_nothing_but_lets_the_next_one_go) {
  Probed probed;
  for (int i = 0; i < 3; ++i) probed.silence();
  const Instant due = probed.probe.due();
  EXPECT_EQ(probed.probe.ended(true, probed.now), ProbeVerdict::same);
  EXPECT_TRUE(probed.probe.may_send());
  EXPECT_EQ(probed.probe.due(), due);
  EXPECT_EQ(probed.answer(true), ProbeVerdict::same);
  EXPECT_EQ(probed.answer(true), ProbeVerdict::healthy);
}

TEST(Probe, a_timeout_longer_than_the_interval_still_moves_on) {
  Probed probed({.interval = 1s, .timeout = 5s, .failures = 2, .deregister = 0});
  for (int i = 0; i < 20; ++i) {
    const Instant before = probed.now;
    probed.silence();
    EXPECT_GT(probed.now, before);
    EXPECT_GT(probed.probe.due(), probed.now);
  }
}

TEST(Probe, without_deregister_a_registration_lasts) {
  Probed probed({.interval = 10s, .timeout = 1s, .failures = 1, .deregister = 0});
  EXPECT_EQ(probed.answer(false), ProbeVerdict::unhealthy);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(probed.answer(false), ProbeVerdict::same);
}

TEST(Probe, who_knows_no_probes_and_answers_is_well) {
  EXPECT_TRUE(is_well(protocol::StatusCode::ok));
  EXPECT_TRUE(is_well(protocol::StatusCode::unimplemented));
  EXPECT_FALSE(is_well(protocol::StatusCode::unavailable));
  EXPECT_FALSE(is_well(protocol::StatusCode::deadline_exceeded));
}

}  // namespace
}  // namespace valkyrie::registry
