#include "transport/reactor.h"

#include <array>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "transport/scarcity.h"

namespace valkyrie::transport {
namespace {

using protocol::Duration;
using protocol::Instant;
using std::chrono::milliseconds;

constexpr Duration kForEver{-1};
constexpr Duration kNoWait{0};

Instant virtual_now{};
Instant virtual_clock() { return virtual_now; }

std::unique_ptr<Reactor> make_reactor(Clock clock = monotonic_now) {
  auto reactor = Reactor::create(clock);
  EXPECT_TRUE(reactor.has_value());
  return std::move(*reactor);
}

struct Pair {
  Socket a;
  Socket b;
};

Pair make_pair() {
  std::array<int, 2> fds{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
  return {Socket(fds[0]), Socket(fds[1])};
}

void put(const Socket& socket, char byte = 'x') { ASSERT_EQ(::write(socket.fd(), &byte, 1), 1); }

// A handler that does what the test says.
struct Handler final : ReadinessHandler {
  std::function<void(Ready)> act = [](Ready) {};
  int calls = 0;
  Ready last{};
  void on_ready(Ready ready) override {
    ++calls;
    last = ready;
    act(ready);
  }
};

struct Flush final : EndOfTurn {
  std::function<void()> act = [] {};
  int calls = 0;
  void on_end_of_turn() override {
    ++calls;
    act();
  }
};

TEST(Reactor, reports_readable_writable_and_hang_up) {
  const auto reactor = make_reactor();
  Pair pair = make_pair();
  Handler handler;
  ASSERT_TRUE(reactor->add(pair.a.fd(), handler, Interest::read));
  reactor->turn(kNoWait);
  EXPECT_EQ(handler.calls, 0);
  put(pair.b);
  reactor->turn(kForEver);
  EXPECT_EQ(handler.calls, 1);
  EXPECT_TRUE(handler.last.readable);
  EXPECT_FALSE(handler.last.writable);
  reactor->modify(pair.a.fd(), Interest::write);
  reactor->turn(kForEver);
  EXPECT_FALSE(handler.last.readable);
  EXPECT_TRUE(handler.last.writable);
  reactor->modify(pair.a.fd(), Interest::none);
  reactor->turn(kNoWait);
  EXPECT_EQ(handler.calls, 2);
  pair.b.close();
  reactor->turn(kForEver);
  EXPECT_TRUE(handler.last.hang_up);
  reactor->remove(pair.a.fd());
}

TEST(Reactor, an_event_of_a_handler_removed_in_the_same_turn_reaches_nobody) {
  const auto reactor = make_reactor();
  std::array<Pair, 2> pairs{make_pair(), make_pair()};
  std::array<std::unique_ptr<Handler>, 2> handlers;
  // Whichever comes first destroys the other, whose event is already reported.
  int calls = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    handlers[i] = std::make_unique<Handler>();
    handlers[i]->act = [&, other = 1 - i](Ready) {
      ++calls;
      reactor->remove(pairs[other].a.fd());
      handlers[other].reset();
    };
    ASSERT_TRUE(reactor->add(pairs[i].a.fd(), *handlers[i], Interest::read));
    put(pairs[i].b);
  }
  reactor->turn(kForEver);
  EXPECT_EQ(calls, 1);
  for (std::size_t i = 0; i < 2; ++i) {
    if (handlers[i]) reactor->remove(pairs[i].a.fd());
  }
}

TEST(Reactor, while_there_is_critical_traffic_urgent_descriptors_go_first_and_others_in_turn) {
  const auto reactor = make_reactor(virtual_clock);
  constexpr std::size_t kCalm = 8;  // As many turns serve each of them twice, two by two.
  std::vector<Pair> pairs;
  std::vector<Handler> handlers(kCalm + 1);
  std::vector<std::size_t> served;
  for (std::size_t i = 0; i <= kCalm; ++i) {
    pairs.push_back(make_pair());
    put(pairs[i].b);
    // Nobody reads: all of them stay ready.
    handlers[i].act = [&served, i](Ready) { served.push_back(i); };
    ASSERT_TRUE(reactor->add(pairs[i].a.fd(), handlers[i], Interest::read).has_value());
  }
  reactor->set_urgent(pairs[kCalm].a.fd(), true);
  reactor->note_critical();
  for (std::size_t turn = 0; turn < kCalm; ++turn) {
    served.clear();
    reactor->turn(kForEver);
    ASSERT_GT(served.size(), 1u);
    ASSERT_LT(served.size(), kCalm) << "few of the others, so that the urgent one is served soon";
    EXPECT_EQ(served.front(), kCalm);
    EXPECT_EQ(handlers[kCalm].calls, static_cast<int>(turn) + 1);
  }
  for (std::size_t i = 0; i < kCalm; ++i) EXPECT_EQ(handlers[i].calls, 2) << "handler " << i;
  virtual_now += protocol::kCriticalTime;
  served.clear();
  reactor->turn(kNoWait);
  reactor->turn(kNoWait);
  EXPECT_EQ(served.size(), 2 * (kCalm + 1)) << "without it all are served in one turn";
  for (Pair& pair : pairs) reactor->remove(pair.a.fd());
}

TEST(Reactor, a_reused_descriptor_number_gets_no_event_of_its_predecessor) {
  const auto reactor = make_reactor();
  std::array<Pair, 2> pairs{make_pair(), make_pair()};
  std::array<Handler, 2> handlers;
  Handler successor;
  Pair fresh;
  int closed = -1;
  for (std::size_t i = 0; i < 2; ++i) {
    handlers[i].act = [&, i](Ready) {
      if (closed >= 0) return;
      Socket& victim = pairs[1 - i].a;
      closed = victim.fd();
      reactor->remove(closed);
      victim.close();
      fresh = make_pair();
      ASSERT_EQ(fresh.a.fd(), closed) << "the kernel reuses the lowest number";
      ASSERT_TRUE(reactor->add(fresh.a.fd(), successor, Interest::read));
    };
    ASSERT_TRUE(reactor->add(pairs[i].a.fd(), handlers[i], Interest::read));
    put(pairs[i].b);
  }
  reactor->turn(kForEver);
  EXPECT_EQ(handlers[0].calls + handlers[1].calls, 1);
  EXPECT_EQ(successor.calls, 0);
  put(fresh.b);
  reactor->turn(kForEver);
  EXPECT_EQ(successor.calls, 1);
  reactor->remove(fresh.a.fd());
  for (std::size_t i = 0; i < 2; ++i) {
    if (pairs[i].a) reactor->remove(pairs[i].a.fd());
  }
}

TEST(Reactor, a_handler_may_destroy_itself) {
  const auto reactor = make_reactor();
  Pair pair = make_pair();
  auto handler = std::make_unique<Handler>();
  handler->act = [&](Ready) {
    reactor->remove(pair.a.fd());
    auto last_breath = std::move(handler);
  };
  ASSERT_TRUE(reactor->add(pair.a.fd(), *handler, Interest::read));
  put(pair.b);
  reactor->turn(kForEver);
  EXPECT_EQ(handler, nullptr);
  reactor->turn(kNoWait);
}

TEST(Reactor, adding_a_descriptor_that_epoll_refuses_is_an_error) {
  const auto reactor = make_reactor();
  Handler handler;
  std::array<char, 32> path{"/tmp/valkyrie-reactor-XXXXXX"};
  const Socket file(::mkstemp(path.data()));
  ::unlink(path.data());
  const auto added = reactor->add(file.fd(), handler, Interest::read);
  ASSERT_FALSE(added.has_value());
  EXPECT_EQ(added.error(), std::errc::operation_not_permitted);
}

TEST(Reactor, without_descriptors_there_is_no_reactor) {
  for (const unsigned left : {0u, 1u}) {
    const testing::DescriptorsLeft scarce(left);
    const auto reactor = Reactor::create();
    ASSERT_FALSE(reactor.has_value());
    EXPECT_EQ(reactor.error(), std::errc::too_many_files_open);
  }
}

TEST(Reactor, end_of_turn_runs_once_for_many_requests_and_after_handlers_and_timers) {
  const auto reactor = make_reactor();
  Flush flush;
  std::vector<int> order;
  flush.act = [&] { order.push_back(2); };
  struct Mark {
    std::vector<int>& order;
    Reactor& reactor;
    Flush& flush;
    Timer timer = Timer::calling<&Mark::on_timer>(this);
    void on_timer() {
      order.push_back(1);
      reactor.at_end_of_turn(flush);
      reactor.at_end_of_turn(flush);
    }
  } mark{.order = order, .reactor = *reactor, .flush = flush};
  reactor->timers().arm(mark.timer, reactor->now());
  while (order.empty()) reactor->turn(kForEver);
  EXPECT_EQ(order, (std::vector{1, 2}));
}

TEST(Reactor, what_is_dirty_again_is_flushed_before_the_reactor_sleeps) {
  const auto reactor = make_reactor();
  Flush flush;
  flush.act = [&] {
    if (flush.calls < 100) reactor->at_end_of_turn(flush);
  };
  reactor->at_end_of_turn(flush);
  while (flush.calls < 100) reactor->turn(kForEver);
  EXPECT_EQ(flush.calls, 100);
}

TEST(Reactor, a_destroyed_object_is_not_flushed) {
  const auto reactor = make_reactor();
  auto first = std::make_unique<Flush>();
  auto second = std::make_unique<Flush>();
  int calls = 0;
  first->act = [&] { ++calls, second.reset(); };
  second->act = [&] { ++calls, first.reset(); };
  reactor->at_end_of_turn(*first);
  reactor->at_end_of_turn(*second);
  reactor->turn(kNoWait);
  EXPECT_EQ(calls, 1);
}

TEST(Reactor, posts_run_in_order_and_a_post_from_a_task_runs_in_the_next_turn) {
  const auto reactor = make_reactor();
  std::vector<int> order;
  reactor->post([&] {
    order.push_back(1);
    reactor->post([&] { order.push_back(3); });
  });
  reactor->post([&] { order.push_back(2); });
  reactor->turn(kForEver);
  EXPECT_EQ(order, (std::vector{1, 2}));
  reactor->turn(kForEver);
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST(Reactor, a_post_wakes_a_sleeping_reactor_and_none_is_lost) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 5'000;
  const auto reactor = make_reactor();
  int ran = 0;  // Touched by tasks only: they all run on this thread.
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < kPosts; ++n) {
        reactor->post([&] {
          if (++ran == kThreads * kPosts) reactor->stop();
        });
      }
    });
  }
  reactor->run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ran, kThreads * kPosts);
}

TEST(Reactor, tasks_left_over_are_destroyed_unrun) {
  auto token = std::make_shared<int>(0);
  {
    const auto reactor = make_reactor();
    reactor->post([token] { *token = 1; });
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_EQ(*token, 0);
}

TEST(Reactor, stop_before_run_returns_at_once) {
  const auto reactor = make_reactor();
  reactor->stop();
  reactor->run();
  EXPECT_TRUE(reactor->stopped());
}

struct CountingInbox final : Inbox {
  std::atomic<int> published{0};
  int drained = 0;
  bool pending() const override { return published.load() != drained; }
  void drain() override { drained = published.load(); }
};

TEST(Reactor, wake_makes_published_work_of_another_thread_seen) {
  const auto reactor = make_reactor();
  CountingInbox inbox;
  reactor->add_inbox(inbox);
  constexpr int kItems = 20'000;
  std::thread producer([&] {
    for (int i = 0; i < kItems; ++i) {
      inbox.published.fetch_add(1);
      reactor->wake();
    }
  });
  while (inbox.drained < kItems) reactor->turn(kForEver);
  producer.join();
  reactor->remove_inbox(inbox);
}

TEST(Reactor, a_foreign_loop_can_drive_it) {
  virtual_now = Instant{milliseconds{5}};
  const auto reactor = make_reactor(virtual_clock);
  EXPECT_LT(reactor->prepare_wait(), Duration::zero()) << "only fd() can bring work";
  pollfd poll_fd{.fd = reactor->fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&poll_fd, 1, 0), 0);
  int ran = 0;
  reactor->post([&] { ++ran; });
  EXPECT_EQ(::poll(&poll_fd, 1, 0), 1);
  reactor->turn(kNoWait);
  EXPECT_EQ(ran, 1);
  reactor->post([&] { ++ran; });
  EXPECT_EQ(reactor->prepare_wait(), Duration::zero()) << "work waits already";
  reactor->turn(kNoWait);
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(::poll(&poll_fd, 1, 0), 0) << "an old wake-up must not spin the foreign loop";
}

TEST(Reactor, prepare_wait_counts_down_to_the_first_timer) {
  virtual_now = Instant{milliseconds{100}};
  const auto reactor = make_reactor(virtual_clock);
  int fired = 0;
  Timer timer([](void* count) { ++*static_cast<int*>(count); }, &fired);
  reactor->timers().arm(timer, virtual_now + milliseconds{7});
  EXPECT_EQ(reactor->prepare_wait(), milliseconds{7});
  virtual_now += milliseconds{6};
  reactor->turn(kNoWait);
  EXPECT_EQ(fired, 0);
  EXPECT_EQ(reactor->prepare_wait(), milliseconds{1});
  virtual_now += milliseconds{1};
  EXPECT_EQ(reactor->prepare_wait(), Duration::zero());
  reactor->turn(kNoWait);
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(reactor->now(), virtual_now);
}

}  // namespace
}  // namespace valkyrie::transport
