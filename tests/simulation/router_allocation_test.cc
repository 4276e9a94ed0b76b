// Once warm, a call through a node allocates nothing: not in the sessions and not in the router.
// A program of its own, as it replaces the global operator new.
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <new>
#include <vector>

#include "protocol/buffer_pool.h"
#include "protocol/metadata.h"
#include "server/node/node_shard.h"

namespace {

std::size_t allocations = 0;  // NOLINT: counted by operator new.

}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  ++allocations;
  const auto align = static_cast<std::size_t>(alignment);
  if (void* memory = std::aligned_alloc(align, (size + align - 1) / align * align)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace valkyrie::simulation {
namespace {

using protocol::EventType;
using protocol::Instant;
using protocol::Session;

constexpr Instant kNow{std::chrono::seconds(1)};

// A connection whose bytes are copied through one buffer.
class Link {
 public:
  Link(router::Router& router, protocol::BufferPool& pool)
      : near(protocol::Role::dialer, {}, pool, kNow),
        far(protocol::Role::acceptor, {}, pool, kNow),
        id(router.attach(far, "here", {}, this, kNow)) {}

  Session near;
  Session far;
  const router::ConnectionId id;
};

// A client, a service and the node between them.
class Bench {
 public:
  Bench() : client(shard_.router(), pool_), service(shard_.router(), pool_), buffer_(1 << 20) {}
  ~Bench() {
    for (Link* link : {&client, &service}) {
      link->far.receive_eof(kNow);
      poll_far(*link);
      shard_.router().detach(link->id);
    }
  }

  // Carries bytes until all is quiet.
  void run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (Link* link : {&client, &service}) {
        moved = carry(link->near, link->far) || moved;
        poll_far(*link);
      }
      while (void* owner = shard_.router().next_dirty()) poll_far(*static_cast<Link*>(owner));
      shard_.router().end_turn();
      for (Link* link : {&client, &service}) {
        moved = carry(link->far, link->near) || moved;
        poll_near(*link);
      }
    }
  }

  std::uint32_t open(Link& link, protocol::StreamKind kind, std::string_view service_name,
                     std::string_view method) {
    std::array<std::byte, 256> metadata;
    protocol::MetadataWriter writer(metadata);
    writer.service(service_name);
    writer.method(method);
    return *link.near.open_stream(kind, 0, {.metadata = *writer.finish()}, 0);
  }

 private:
  struct NoOutbox final : router::Outbox {
    void send(std::uint32_t /*shard*/, router::ShardMessage&& /*message*/) override {}
  };

  bool carry(Session& from, Session& to) {
    std::span<const std::byte> pieces[16];
    const std::size_t count = from.gather(pieces, buffer_.size() / 2);
    std::size_t size = 0;
    for (std::size_t i = 0; i < count; ++i) {
      std::memcpy(buffer_.data() + size, pieces[i].data(), pieces[i].size());
      size += pieces[i].size();
    }
    if (size == 0) return false;
    from.written(size, kNow);
    to.receive(std::span(buffer_).first(size), kNow);
    return true;
  }

  void poll_far(Link& link) {
    while (const protocol::Event* event = link.far.poll_event()) {
      shard_.router().on_event(link.id, *event, kNow);
    }
  }
  void poll_near(Link& link) {
    while (const protocol::Event* event = link.near.poll_event()) {
      if (event->type == EventType::request) {
        static_cast<void>(link.near.send_response(event->stream, event->correlation,
                                                  {.payload = event->payload}));
      }
      if (event->type == EventType::response) ++answers;
      if (event->cost > 0) link.near.consume(event->stream, event->cost);
    }
  }

  server::NodeIdentity identity_;
  server::NodeGauges gauges_{1};
  NoOutbox outbox_;
  protocol::BufferPool pool_;
  server::NodeShard shard_{{}, identity_, gauges_, outbox_};

 public:
  Link client;
  Link service;
  std::size_t answers = 0;

 private:
  std::vector<std::byte> buffer_;
};

TEST(RouterAllocation, a_call_in_steady_state_allocates_nothing) {
  Bench bench;
  bench.run();
  const std::uint32_t registration =
      bench.open(bench.service, protocol::StreamKind::stream, "valkyrie.Registry", "Register");
  messages::RegisterRequest request;
  request.service = "hello.Greeter";
  request.concurrency = messages::kInstanceConcurrencyMax;
  const std::string body = messages::encode(messages::RegisterMessage(request));
  ASSERT_TRUE(
      bench.service.near.send_data(registration, {.payload = std::as_bytes(std::span(body))}));
  bench.run();
  const std::uint32_t calls =
      bench.open(bench.client, protocol::StreamKind::call, "hello.Greeter", "M");
  const std::array<std::byte, 64> payload{};
  const auto round = [&] {
    for (int i = 0; i < 256; ++i) {
      ASSERT_TRUE(bench.client.near.send_request(calls, {.payload = payload}));
    }
    bench.run();
  };
  for (int i = 0; i < 8; ++i) round();
  ASSERT_EQ(bench.answers, 8U * 256U);
  const std::size_t before = allocations;
  for (int i = 0; i < 32; ++i) round();
  EXPECT_EQ(bench.answers, 40U * 256U);
  EXPECT_EQ(allocations, before);
}

}  // namespace
}  // namespace valkyrie::simulation
