#include "transport/stream_socket.h"

#include <algorithm>
#include <array>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace valkyrie::transport {
namespace {

using protocol::Duration;

constexpr Duration kForEver{-1};

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

struct Sink final : StreamSink {
  std::string got;
  int reads = 0;
  int writables = 0;
  int ends = 0;
  std::error_code error;
  std::function<void()> on_read = [] {};
  std::span<const std::byte> bytes;  // Of the last read; valid while they are kept.
  std::shared_ptr<const void> kept;
  void on_bytes(std::span<std::byte> read, const std::shared_ptr<const void>& keeper) override {
    ++reads;
    bytes = read;
    kept = keeper;
    got.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    on_read();
  }
  void on_writable() override { ++writables; }
  void on_stream_end(std::error_code why) override {
    ++ends;
    error = why;
  }
};

// A stream socket on a reactor and, beside it, the bare other end.
struct World {
  World() : reactor(std::move(Reactor::create().value())) {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
    tune_stream(fds[0], {});
    peer = Socket(fds[1]);
    stream = std::make_unique<StreamSocket>(*reactor, Socket(fds[0]), sink);
    EXPECT_TRUE(stream->start().has_value());
  }
  void put(std::string_view text) {
    ASSERT_EQ(::write(peer.fd(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  std::string take(std::size_t max = 1 << 20) {
    std::string text(max, '\0');
    const ssize_t got = ::read(peer.fd(), text.data(), text.size());
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  }
  std::expected<std::size_t, std::error_code> write(std::string_view text) {
    const std::array pieces{bytes_of(text)};
    return stream->write(pieces);
  }
  std::unique_ptr<Reactor> reactor;
  Sink sink;
  Socket peer;
  std::unique_ptr<StreamSocket> stream;
};

TEST(StreamSocket, a_turn_reads_once_when_the_slab_is_not_filled) {
  World world;
  world.put("hello");
  world.reactor->turn(kForEver);
  EXPECT_EQ(world.sink.got, "hello");
  EXPECT_EQ(world.sink.reads, 1);
}

TEST(StreamSocket, pieces_leave_gathered_in_order) {
  World world;
  const std::array pieces{bytes_of("one "), bytes_of(""), bytes_of("two "), bytes_of("three")};
  EXPECT_EQ(world.stream->write(pieces), 13u);
  EXPECT_EQ(world.take(), "one two three");
}

TEST(StreamSocket, data_before_the_end_is_delivered_and_the_end_comes_in_the_same_turn) {
  World world;
  world.put("last words");
  world.peer.close();
  world.reactor->turn(kForEver);
  EXPECT_EQ(world.sink.got, "last words");
  EXPECT_EQ(world.sink.ends, 1);
  EXPECT_FALSE(world.sink.error);
  EXPECT_FALSE(world.stream->is_open());
}

TEST(StreamSocket, a_short_write_blocks_until_the_peer_reads_while_reading_goes_on) {
  World world;
  const std::string large(4 << 20, 'x');
  const auto sent = world.write(large);
  ASSERT_TRUE(sent.has_value());
  ASSERT_LT(*sent, large.size());
  EXPECT_LE(*sent, 384u << 10) << "the bound on unsent bytes holds, which the kernel takes loosely";
  EXPECT_FALSE(world.stream->writable());
  EXPECT_EQ(world.write(large), 0u) << "no system call while blocked";
  world.put("still read");
  world.reactor->turn(kForEver);
  EXPECT_EQ(world.sink.got, "still read");
  EXPECT_EQ(world.sink.writables, 0);
  std::size_t taken = 0;
  while (taken < *sent) taken += world.take().size();
  world.reactor->turn(kForEver);
  EXPECT_EQ(world.sink.writables, 1);
  EXPECT_TRUE(world.stream->writable());
  EXPECT_EQ(world.write("more"), 4u);
}

TEST(StreamSocket, a_flooding_peer_is_cut_off_by_the_budget_and_read_on_in_the_next_turn) {
  const auto reactor = std::move(Reactor::create().value());
  std::array<int, 2> fds{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
  const Socket peer(fds[1]);
  Sink sink;
  // Refills as fast as it is read: without a budget the first turn would never end.
  const std::string block(64 << 10, 'f');
  sink.on_read = [&] {
    while (::write(peer.fd(), block.data(), block.size()) > 0) {
    }
  };
  StreamSocket stream(*reactor, Socket(fds[0]), sink);
  ASSERT_TRUE(stream.start().has_value());
  sink.on_read();
  reactor->turn(kForEver);
  const std::size_t first = sink.got.size();
  EXPECT_LE(first, StreamSocket::kReadBytesPerTurn + Reactor::kReceiveSlabBytes);
  reactor->turn(kForEver);
  EXPECT_GT(sink.got.size(), first);
}

TEST(StreamSocket, bulk_may_be_kept_by_who_takes_a_share_and_nothing_else_may) {
  World world;
  world.put("little");
  world.reactor->turn(kForEver);
  EXPECT_EQ(world.sink.kept, nullptr);
  world.stream->expect_bulk(true);
  world.put("first of much");
  world.reactor->turn(kForEver);
  const auto first = world.sink.kept;
  const auto first_bytes = world.sink.bytes;
  ASSERT_NE(first, nullptr);
  world.put("second");
  world.reactor->turn(kForEver);
  EXPECT_NE(world.sink.kept, first) << "what is kept is not read into";
  EXPECT_TRUE(std::ranges::equal(first_bytes, bytes_of("first of much")));
}

TEST(StreamSocket, room_that_nobody_waits_for_is_reported_once) {
  World world;
  const std::string large(4 << 20, 'x');
  const std::size_t sent = world.write(large).value();
  for (std::size_t taken = 0; taken < sent;) taken += world.take().size();
  world.reactor->turn(kForEver);
  EXPECT_EQ(world.sink.writables, 1);
  world.put("x");
  world.reactor->turn(kForEver);
  world.put("y");
  world.reactor->turn(kForEver);
  EXPECT_EQ(world.sink.writables, 1);
  EXPECT_EQ(world.sink.got, "xy");
}

TEST(StreamSocket, a_sink_may_close_inside_every_call) {
  World world;
  world.sink.on_read = [&] { world.stream->close(); };
  world.put("x");
  world.peer.close();
  world.reactor->turn(kForEver);
  world.reactor->turn(Duration{0});
  EXPECT_EQ(world.sink.reads, 1);
  EXPECT_EQ(world.sink.ends, 0) << "nothing is called after close()";
}

TEST(StreamSocket, what_the_peer_sent_before_it_closed_is_read_after_a_write_failed) {
  World world;
  world.put("goodbye, and why");
  world.peer.close();
  EXPECT_FALSE(world.write("too late").has_value());
  EXPECT_FALSE(world.write("still too late").has_value());
  world.reactor->turn(kForEver);
  EXPECT_EQ(world.sink.got, "goodbye, and why");
  EXPECT_EQ(world.sink.ends, 1);
}

TEST(StreamSocket, shutting_down_the_write_side_leaves_reading_open) {
  World world;
  world.stream->shut_down_write();
  EXPECT_EQ(world.take(), "");
  world.put("reply");
  world.reactor->turn(kForEver);
  EXPECT_EQ(world.sink.got, "reply");
}

TEST(StreamSocket, kernel_credentials_name_this_process) {
  World world;
  const auto credentials = peer_credentials(world.stream->fd());
  ASSERT_TRUE(credentials.has_value());
  EXPECT_EQ(credentials->pid, ::getpid());
  EXPECT_EQ(credentials->uid, ::geteuid());
  const Socket tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_FALSE(peer_credentials(tcp.fd()).has_value());
}

}  // namespace
}  // namespace valkyrie::transport
