// Calls over a session: requests, responses, fragments, cancel, limits, outcomes.
#include <gtest/gtest.h>
#include <random>
#include <string>

#include "protocol/session_pair.h"

namespace valkyrie::protocol {
namespace {

using testing::bytes_of;
using testing::Pair;
using testing::Seen;

TEST(SessionCall, a_request_is_answered_with_its_cookie) {
  Pair pair;
  pair.echo();
  pair.run();
  ASSERT_TRUE(pair.dialer.session.ready());
  const std::uint32_t stream = pair.open_call();
  ASSERT_TRUE(pair.dialer.session.send_request(stream, {.payload = bytes_of("Ada"), .cookie = 42}));
  pair.run();
  const auto opened = pair.acceptor.all(EventType::stream_opened);
  ASSERT_EQ(opened.size(), 1u);
  EXPECT_EQ(opened[0].service, "test.Echo");
  const auto responses = pair.dialer.all(EventType::response);
  ASSERT_EQ(responses.size(), 1u);
  EXPECT_EQ(responses[0].payload, "Ada");
  EXPECT_EQ(responses[0].event.cookie, 42u);
  EXPECT_EQ(responses[0].event.user, 7u);
  EXPECT_EQ(pair.dialer.session.requests_in_flight(), 0u);
  EXPECT_EQ(pair.dialer.pool.in_use(), 0u) << "an idle session owns no output memory";
  EXPECT_EQ(pair.acceptor.pool.in_use(), 0u);
}

TEST(SessionCall, behaves_the_same_fed_in_any_pieces) {
  for (const std::size_t piece : {1u, 2u, 3u, 7u, 19u, 20u, 21u, 64u, 1000u, 65536u}) {
    SCOPED_TRACE(piece);
    Pair pair;
    pair.echo();
    pair.run(piece);
    const std::uint32_t stream = pair.open_call();
    std::vector<std::string> sent;
    for (int i = 0; i < 40; ++i) {
      sent.push_back(
          std::string(static_cast<std::size_t>(i * i * i), static_cast<char>('a' + i % 26)));
      ASSERT_TRUE(pair.dialer.session.send_request(
          stream, {.payload = bytes_of(sent.back()), .cookie = static_cast<std::uint64_t>(i)}));
    }
    pair.run(piece);
    const auto responses = pair.dialer.all(EventType::response);
    ASSERT_EQ(responses.size(), sent.size());
    for (std::size_t i = 0; i < sent.size(); ++i) {
      EXPECT_EQ(responses[i].event.cookie, i);
      EXPECT_TRUE(responses[i].payload == sent[i]);
    }
  }
}

TEST(SessionCall, a_message_at_the_limit_passes_any_window_and_one_byte_more_is_refused_here) {
  Pair pair;
  pair.echo();
  pair.run();
  const std::uint32_t stream = pair.open_call();
  const std::string largest(kCallMessageBytesDefault, 'x');
  const auto sent = pair.dialer.session.send_request(stream, {.payload = bytes_of(largest)});
  ASSERT_TRUE(sent);
  EXPECT_TRUE(sent->waiting);
  pair.run();
  ASSERT_EQ(pair.dialer.count(EventType::flushed), 1u);
  const auto responses = pair.dialer.all(EventType::response);
  ASSERT_EQ(responses.size(), 1u);
  EXPECT_TRUE(responses[0].payload == largest);
  const std::string over = largest + "x";
  const auto refused = pair.dialer.session.send_request(stream, {.payload = bytes_of(over)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), SendError::too_large);
  EXPECT_EQ(pair.acceptor.session.held_bytes(), 0u);
  EXPECT_GE(pair.dialer.session.send_credit(stream), kStreamCreditBytesDefault / 4 * 3)
      << "credit returns, a quarter of the window at a time";
}

TEST(SessionCall, a_request_over_the_receivers_limit_is_answered_not_executed) {
  SessionConfig small;
  small.limits.call_message_bytes_max = kCallMessageBytesMin;
  Pair pair({}, small);
  pair.run();
  // The dialer of this test does not know the limit: it is told another one.
  const_cast<PeerInfo&>(pair.dialer.session.peer()).call_message_bytes_max = 1 << 20;
  const std::uint32_t stream = pair.open_call();
  const std::string over(kCallMessageBytesMin + 1, 'x');
  const std::string much(kCallMessageBytesMin * 9, 'x');
  ASSERT_TRUE(pair.dialer.session.send_request(stream, {.payload = bytes_of(over)}));
  ASSERT_TRUE(pair.dialer.session.send_request(stream, {.payload = bytes_of(much)}));
  pair.run();
  const auto responses = pair.dialer.all(EventType::response);
  ASSERT_EQ(responses.size(), 2u);
  for (const Seen& seen : responses) {
    EXPECT_EQ(seen.status, StatusCode::resource_exhausted);
    EXPECT_EQ(seen.outcome, Outcome::not_executed);
  }
  EXPECT_EQ(pair.acceptor.count(EventType::request), 0u);
  EXPECT_EQ(pair.acceptor.session.held_bytes(), 0u);
}

TEST(SessionCall, requests_beyond_the_in_flight_limit_are_not_sent) {
  SessionConfig few;
  few.limits.requests_in_flight_max = 2;
  Pair pair({}, few);
  pair.run();
  const std::uint32_t stream = pair.open_call();
  ASSERT_TRUE(pair.dialer.session.send_request(stream, {}));
  ASSERT_TRUE(pair.dialer.session.send_request(stream, {}));
  const auto third = pair.dialer.session.send_request(stream, {});
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error(), SendError::in_flight_max);
}

TEST(SessionCall, a_peer_that_ignores_the_in_flight_limit_is_answered_not_executed) {
  SessionConfig few;
  few.limits.requests_in_flight_max = 2;
  Pair pair({}, few);
  pair.run();
  const_cast<PeerInfo&>(pair.dialer.session.peer()).requests_in_flight_max = 10;
  const std::uint32_t stream = pair.open_call();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pair.dialer.session.send_request(stream, {}));
  pair.run();
  EXPECT_EQ(pair.acceptor.count(EventType::request), 2u);
  const auto responses = pair.dialer.all(EventType::response);
  ASSERT_EQ(responses.size(), 1u);
  EXPECT_EQ(responses[0].event.correlation, 3u);
  EXPECT_EQ(responses[0].status, StatusCode::resource_exhausted);
  EXPECT_EQ(responses[0].outcome, Outcome::not_executed);
}

TEST(SessionCall, cancel_reaches_the_responder_and_the_answer_still_comes) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  const auto sent = pair.dialer.session.send_request(stream, {.cookie = 5});
  pair.run();
  ASSERT_TRUE(pair.acceptor.session.set_cookie(stream, sent->correlation, 99));
  pair.dialer.session.cancel(stream, sent->correlation);
  pair.dialer.session.cancel(stream, sent->correlation);
  pair.run();
  const auto cancels = pair.acceptor.all(EventType::cancel);
  ASSERT_EQ(cancels.size(), 1u) << "idempotent";
  EXPECT_EQ(cancels[0].event.cookie, 99u);
  EXPECT_EQ(pair.dialer.session.requests_in_flight(), 1u) << "the place is free when work is over";
  ASSERT_TRUE(pair.acceptor.session.send_response(stream, sent->correlation, {}));
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::response), 1u);
}

TEST(SessionCall, cancel_of_what_has_not_left_fails_it_at_once_not_executed) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  const auto first =
      pair.dialer.session.send_request(stream, {.payload = bytes_of("a"), .cookie = 1});
  const auto second =
      pair.dialer.session.send_request(stream, {.payload = bytes_of("b"), .cookie = 2});
  pair.dialer.session.cancel(stream, first->correlation);
  pair.run();
  const auto failed = pair.dialer.all(EventType::request_failed);
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].event.cookie, 1u);
  EXPECT_EQ(failed[0].event.status, StatusCode::cancelled);
  EXPECT_EQ(failed[0].event.outcome, Outcome::not_executed);
  const auto requests = pair.acceptor.all(EventType::request);
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].event.correlation, second->correlation);
  EXPECT_EQ(pair.acceptor.count(EventType::cancel), 0u);
}

TEST(SessionCall, cancel_aborts_a_request_of_which_only_a_part_has_left) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  const std::string much(1 << 20, 'x');
  const auto sent = pair.dialer.session.send_request(stream, {.payload = bytes_of(much)});
  pair.carry(pair.dialer, pair.acceptor);  // As far as the first window goes.
  ASSERT_GT(pair.acceptor.session.held_bytes(), 0u);
  pair.dialer.session.cancel(stream, sent->correlation);
  pair.run();
  EXPECT_EQ(pair.acceptor.count(EventType::request), 0u);
  EXPECT_EQ(pair.acceptor.count(EventType::cancel), 0u);
  EXPECT_EQ(pair.acceptor.session.held_bytes(), 0u);
  const auto responses = pair.dialer.all(EventType::response);
  ASSERT_EQ(responses.size(), 1u);
  EXPECT_EQ(responses[0].status, StatusCode::cancelled);
  EXPECT_EQ(responses[0].outcome, Outcome::not_executed);
  EXPECT_EQ(pair.dialer.session.send_credit(stream), kStreamCreditBytesDefault);
}

TEST(SessionCall, a_lost_connection_tells_which_requests_may_have_run) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  (void)pair.dialer.session.send_request(stream, {.cookie = 1});
  pair.run();
  (void)pair.dialer.session.send_request(stream, {.cookie = 2});  // Never leaves.
  pair.dialer.session.receive_eof(pair.now);
  pair.dialer.poll();
  const auto failed = pair.dialer.all(EventType::request_failed);
  ASSERT_EQ(failed.size(), 2u);
  EXPECT_EQ(failed[0].event.outcome, Outcome::maybe_executed);
  EXPECT_EQ(failed[0].event.status, StatusCode::unavailable);
  EXPECT_EQ(failed[1].event.outcome, Outcome::not_executed);
  EXPECT_EQ(pair.dialer.events.back().event.type, EventType::closed);
  EXPECT_EQ(pair.dialer.pool.in_use(), 0u);
}

TEST(SessionCall, reset_by_the_responder_splits_requests_by_the_last_one_taken) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  (void)pair.dialer.session.send_request(stream, {.cookie = 1});
  pair.run();
  pair.acceptor.session.reset(stream, CloseCode::destination_lost, "instance gone");
  (void)pair.dialer.session.send_request(stream, {.cookie = 2});
  pair.carry(pair.dialer, pair.acceptor);  // Crosses the RESET.
  pair.run();
  const auto failed = pair.dialer.all(EventType::request_failed);
  ASSERT_EQ(failed.size(), 2u);
  EXPECT_EQ(failed[0].event.outcome, Outcome::maybe_executed);
  EXPECT_EQ(failed[1].event.outcome, Outcome::not_executed);
  const auto reset = pair.dialer.all(EventType::reset);
  ASSERT_EQ(reset.size(), 1u);
  EXPECT_EQ(reset[0].event.code, CloseCode::destination_lost);
  EXPECT_EQ(reset[0].status_text, "instance gone");
  EXPECT_EQ(pair.dialer.session.stream_count(), 0u);
  EXPECT_EQ(pair.acceptor.session.stream_count(), 0u);
}

TEST(SessionCall, an_abandoned_request_keeps_its_place_until_its_work_is_over) {
  SessionConfig few;
  few.limits.peer_streams_max = 1;
  Pair pair({}, few);
  pair.run();
  const std::uint32_t stream = pair.open_call();
  (void)pair.dialer.session.send_request(stream, {});
  pair.run();
  pair.dialer.session.reset(stream, CloseCode::cancelled);
  pair.run();
  ASSERT_EQ(pair.acceptor.count(EventType::abandoned), 1u);
  EXPECT_EQ(pair.open_call(), 0u) << "rapid reset gains nothing";
  const auto answer = pair.acceptor.session.send_response(stream, 1, {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), SendError::unknown);
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::room), 1u);
  EXPECT_NE(pair.open_call(), 0u);
}

TEST(SessionCall, an_answer_that_finds_no_room_is_sent_once_there_is_some) {
  SessionConfig narrow;
  narrow.limits.queued_bytes_max = 100'000;
  Pair pair({}, narrow);
  pair.dialer.on_event = [&pair](const Event& event) {
    pair.dialer.session.consume(event.stream, event.cost);
  };
  pair.run();
  const std::uint32_t stream = pair.open_call();
  for (int i = 0; i < 20; ++i) (void)pair.dialer.session.send_request(stream, {});
  pair.run();
  const std::string answer(10'000, 'x');
  std::uint32_t refused = 0;
  for (std::uint32_t i = 1; i <= 20 && refused == 0; ++i) {
    const auto sent = pair.acceptor.session.send_response(stream, i, {.payload = bytes_of(answer)});
    if (sent) continue;
    ASSERT_EQ(sent.error(), SendError::queue_full);
    refused = i;
  }
  ASSERT_GT(refused, 0u);
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::response), refused - 1);
  EXPECT_EQ(pair.acceptor.count(EventType::room), 1u);
  EXPECT_TRUE(pair.acceptor.session.send_response(stream, refused, {.payload = bytes_of(answer)}));
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::response), refused);
  EXPECT_EQ(pair.dialer.count(EventType::reset), 0u);
}

TEST(SessionCall, an_answer_to_a_stream_just_reset_frees_the_requests_place) {
  SessionConfig few;
  few.limits.peer_streams_max = 1;
  Pair pair({}, few);
  pair.run();
  const std::uint32_t stream = pair.open_call();
  (void)pair.dialer.session.send_request(stream, {});
  pair.run();
  pair.acceptor.session.reset(stream, CloseCode::slow_peer);
  EXPECT_EQ(pair.acceptor.session.send_response(stream, 1, {}).error(), SendError::closed);
  pair.run();
  EXPECT_EQ(pair.acceptor.count(EventType::abandoned), 0u);
  EXPECT_NE(pair.open_call(), 0u);
}

TEST(SessionCall, answering_twice_or_what_was_never_asked_is_unknown) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  (void)pair.dialer.session.send_request(stream, {});
  pair.run();
  EXPECT_TRUE(pair.acceptor.session.send_response(stream, 1, {}));
  EXPECT_EQ(pair.acceptor.session.send_response(stream, 1, {}).error(), SendError::unknown);
  EXPECT_EQ(pair.acceptor.session.send_response(stream, 2, {}).error(), SendError::unknown);
}

TEST(SessionCall, ids_end_in_order_when_both_sides_are_done) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  (void)pair.dialer.session.send_request(stream, {.cookie = 3});
  pair.run();
  ASSERT_TRUE(pair.dialer.session.send_end(stream));
  pair.run();
  EXPECT_EQ(pair.acceptor.session.stream_count(), 1u) << "one answer is owed";
  ASSERT_TRUE(pair.acceptor.session.send_response(stream, 1, {}));
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::response), 1u);
  EXPECT_EQ(pair.dialer.count(EventType::stream_closed), 1u);
  EXPECT_EQ(pair.acceptor.count(EventType::stream_closed), 1u);
  EXPECT_EQ(pair.dialer.session.stream_count(), 0u);
  EXPECT_EQ(pair.acceptor.session.stream_count(), 0u);
}

TEST(SessionCall, end_of_the_answering_side_waits_for_what_it_owes) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  ASSERT_TRUE(pair.dialer.session.send_request(stream, {.payload = bytes_of("x")}));
  ASSERT_TRUE(pair.dialer.session.send_end(stream));
  pair.run();
  const auto requests = pair.acceptor.all(EventType::request);
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_TRUE(pair.acceptor.session.send_end(stream)) << "said too early";
  pair.run();
  ASSERT_TRUE(pair.acceptor.session.send_response(stream, requests[0].event.correlation,
                                                  {.payload = bytes_of("y")}));
  pair.run();
  ASSERT_EQ(pair.dialer.all(EventType::response).size(), 1u);
  EXPECT_EQ(pair.dialer.all(EventType::stream_closed).size(), 1u);
  EXPECT_FALSE(pair.dialer.session.closed());
}

TEST(SessionCall, what_is_owed_when_the_answering_side_ends_first_is_lost) {
  Pair pair;
  pair.run();
  const std::uint32_t stream = pair.open_call();
  ASSERT_TRUE(pair.dialer.session.send_request(stream, {.payload = bytes_of("x"), .cookie = 5}));
  pair.run();
  const auto requests = pair.acceptor.all(EventType::request);
  ASSERT_EQ(requests.size(), 1u);
  ASSERT_TRUE(pair.acceptor.session.send_end(stream));
  const auto late = pair.acceptor.session.send_response(stream, requests[0].event.correlation, {});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error(), SendError::closed) << "a message after END would end the connection";
  pair.run();
  const auto failed = pair.dialer.all(EventType::request_failed);
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].event.outcome, Outcome::maybe_executed);
  EXPECT_FALSE(pair.dialer.session.closed());
  EXPECT_FALSE(pair.acceptor.session.closed());
}

TEST(SessionCall, random_calls_each_have_exactly_one_outcome) {
  for (unsigned seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Pair pair;
    pair.echo();
    pair.run();
    std::vector<std::uint32_t> streams;
    std::uint64_t sent = 0;
    for (int step = 0; step < 60; ++step) {
      if (streams.empty() || random() % 8 == 0) {
        streams.push_back(
            pair.open_call("a.B", static_cast<std::uint8_t>((2 + random() % 3) << 5)));
      }
      const std::uint32_t stream = streams[random() % streams.size()];
      const std::string payload(random() % (random() % 4 == 0 ? 300'000 : 300), 'p');
      const auto request =
          pair.dialer.session.send_request(stream, {.payload = bytes_of(payload), .cookie = sent});
      if (request) ++sent;
      if (request && random() % 5 == 0) pair.dialer.session.cancel(stream, request->correlation);
      if (random() % 15 == 0) pair.dialer.session.reset(stream, CloseCode::cancelled);
      if (random() % 3 == 0) pair.carry(pair.dialer, pair.acceptor, 1 + random() % 5000);
      if (random() % 3 == 0) pair.carry(pair.acceptor, pair.dialer, 1 + random() % 5000);
    }
    pair.run();
    ASSERT_FALSE(pair.dialer.session.closed()) << to_string(pair.dialer.events.back().event.code)
                                               << ": " << pair.acceptor.events.back().status_text;
    std::vector<int> outcomes(sent);
    for (const Seen& seen : pair.dialer.events) {
      const bool end =
          seen.event.type == EventType::response || seen.event.type == EventType::request_failed;
      if (end) ++outcomes[seen.event.cookie];
    }
    for (std::uint64_t i = 0; i < sent; ++i) ASSERT_EQ(outcomes[i], 1) << "request " << i;
    EXPECT_EQ(pair.acceptor.session.held_bytes(), 0u);
    EXPECT_EQ(pair.dialer.session.held_bytes(), 0u);
    EXPECT_EQ(pair.dialer.pool.in_use(), 0u);
    for (const std::uint32_t stream : streams) {
      const std::uint64_t credit = pair.dialer.session.send_credit(stream);
      if (credit != 0) {
        EXPECT_GT(credit, kStreamCreditBytesDefault * 3 / 4 - 1);
      }
    }
  }
}

}  // namespace
}  // namespace valkyrie::protocol
