// What a call costs in steady state: on the bound callback path nothing is allocated, at either
// end.
#include <atomic>
#include <cstdlib>
#include <gtest/gtest.h>
#include <new>

#include "sdk/cpp/test/box.h"
#include "sdk/cpp/test/fake_node.h"
#include "sdk/cpp/test/quiet.h"
#include "valkyrie/valkyrie.h"

namespace {

// Counts the allocations of threads that ask for it.
thread_local bool counting = false;
std::atomic<long> allocations{0};

void* allocate(std::size_t bytes) {
  if (counting) allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes); memory != nullptr) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace valkyrie {
namespace {

constexpr int kDepth = 64;
constexpr int kWarm = 50'000;
constexpr int kCounted = 50'000;

// Keeps calls in flight, each begun by the end of another, and counts after a warm-up.
class Firing {
 public:
  explicit Firing(Method method) : method_(std::move(method)) {}

  void begin() {
    for (int i = 0; i < kDepth; ++i) fire();
  }
  void wait() { done_.get(); }

 private:
  void fire() {
    method_.call(body_).then([this](Result<BytesView> reply) {
      if (!reply) ++failed_;
      if (++ended_ == kWarm) {
        allocations = 0;
        counting = true;
      }
      if (ended_ + kDepth <= kWarm + kCounted) return fire();
      counting = false;
      if (ended_ == kWarm + kCounted) done_.set_value();
    });
  }

  const Method method_;
  const BytesView body_ = "sixty-four bytes of payload, which is what benchmarks like to send!";
  int ended_ = 0;
  test::Box<void> done_;

 public:
  int failed_ = 0;
};

TEST(Allocations, a_bound_call_with_a_callback_allocates_nothing_in_steady_state) {
  test::FakeNode node;
  Client client = Client::connect(node.url(), test::quiet()).value();
  Firing firing(client.method("fake.Node/Echo"));
  firing.begin();
  firing.wait();
  EXPECT_EQ(firing.failed_, 0);
  EXPECT_EQ(allocations, 0);
}

TEST(Allocations, a_callback_handler_allocates_nothing_in_steady_state) {
  test::FakeNode node;
  Client server = Client::connect(node.url(), test::quiet()).value();
  Service service("t.Service");
  int handled = 0;
  service.unary("Echo", [&handled](IncomingCall&, BytesView body, Reply reply) {
    if (++handled == kWarm) {
      allocations = 0;
      counting = true;
    }
    if (handled == kWarm + kCounted - kDepth) counting = false;
    reply.send(body);
  });
  ASSERT_TRUE(server.serve(std::move(service)).wait().has_value());
  Client client = Client::connect(node.url(), test::quiet()).value();
  Firing firing(client.method("t.Service/Echo"));
  // Its own counting is that of another thread, and sums up to nothing.
  firing.begin();
  firing.wait();
  EXPECT_EQ(firing.failed_, 0);
  EXPECT_EQ(allocations, 0);
}

TEST(Allocations, a_coroutine_handler_allocates_only_the_copies_of_its_body_and_reply) {
  test::FakeNode node;
  Client server = Client::connect(node.url(), test::quiet()).value();
  Service service("t.Service");
  std::atomic<int> handled{0};
  service.unary("Echo", [&handled](IncomingCall, Bytes body) -> Task<Result<Bytes>> {
    if (++handled == kWarm) {
      allocations = 0;
      counting = true;
    }
    if (handled == kWarm + kCounted - kDepth) counting = false;
    co_return body;
  });
  ASSERT_TRUE(server.serve(std::move(service)).wait().has_value());
  Client client = Client::connect(node.url(), test::quiet()).value();
  Firing firing(client.method("t.Service/Echo"));
  firing.begin();
  firing.wait();
  EXPECT_LE(allocations, kCounted);
}

// Publishes in batches, each begun when the node has read the one before, and counts after a
// warm-up. A batch fits into the credit of the stream.
class Flooding {
 public:
  explicit Flooding(Client& client) : client_(client) {}

  void run() {
    client_.flush().then([this](Result<void>) { go_on(); });
    done_.get();
  }

 private:
  void go_on() {
    if (batches_ == kWarm / kBatch) {
      allocations = 0;
      counting = true;
    }
    if (batches_ == (kWarm + kCounted) / kBatch) {
      counting = false;
      return done_.set_value();
    }
    ++batches_;
    for (int i = 0; i < kBatch; ++i) {
      if (!client_.publish("a.subject", body_)) ++failed_;
    }
    client_.flush().then([this](Result<void> flushed) {
      if (!flushed) ++failed_;
      go_on();
    });
  }

  static constexpr int kBatch = 500;
  Client& client_;
  const BytesView body_ = "sixty-four bytes of payload, which is what benchmarks like to send!";
  int batches_ = 0;
  test::Box<void> done_;

 public:
  int failed_ = 0;
};

TEST(Allocations, a_message_published_on_the_loop_allocates_nothing_in_steady_state) {
  test::FakeNode node;
  Client client = Client::connect(node.url(), test::quiet()).value();
  Flooding flooding(client);
  flooding.run();
  EXPECT_EQ(flooding.failed_, 0);
  EXPECT_EQ(allocations, 0);
}

}  // namespace
}  // namespace valkyrie
