#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <fmt/format.h>
#include <span>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <thread>
#include <utility>
#include <vector>

#include "bench/batch.h"
#include "bench/load.h"
#include "bench/socket.h"

namespace valkyrie::bench {

// Both ends of the publish rows: one thread publishes over a connection of its own, another takes
// what `connections` subscribers are sent. A window bounds what is published and not delivered to
// all, `depth` messages and kWindowBytes, since a broker cuts off or drops for those who fall
// behind. The figures count deliveries: with 100 subscribers each message counts a hundred times. A
// message carries the time at which it was published.
//
// `Wire` speaks the protocol of one connection:
//   std::expected<void, std::string> subscribe(int fd);           returns once it is in force
//   std::expected<void, std::string> open_publisher(int fd);      dial-in exchange
//   void publish(std::span<const std::byte> payload, Batch& out); appends a message
//   std::expected<std::size_t, std::string> deliveries(           calls on_payload(span); takes
//   whole
//       std::span<const std::byte> in, Batch& out, OnPayload);    messages; answers into out
//   static std::size_t skip_replies(std::span<const std::byte> in, Batch& out);
//       what the publisher is told: bytes taken
template <typename Wire>
class FanOut {
 public:
  explicit FanOut(LoadOptions options)
      : options_(std::move(options)),
        window_(std::clamp<std::uint64_t>(
            kWindowBytes / (std::uint64_t{options_.size} * options_.connections), 1,
            options_.depth)) {}

  // Runs warm-up and measurement and returns the JSON result; the error is one line for the user.
  [[nodiscard]] std::expected<std::string, std::string> run(std::string_view program) {
    if (options_.size < sizeof(std::uint64_t)) return std::unexpected("--size is below 8");
    if (auto opened = open_all(); !opened) return std::unexpected(opened.error());
    Measurement measurement(options_, now_ns());
    std::thread publisher([this] { publish_until_over(); });
    auto taken = take_until_over(measurement);
    over_.store(true);
    delivered_.fetch_add(1);  // Whatever the publisher waits for, it is over.
    delivered_.notify_all();
    ::shutdown(publisher_.get(), SHUT_RDWR);
    publisher.join();
    if (!taken) return std::unexpected(taken.error());
    return measurement.to_json(program);
  }

 private:
  static constexpr std::uint64_t kWindowBytes = 16U << 20;  // Of all subscribers together.
  static constexpr std::size_t kInputBytes = std::size_t{256} << 10;
  static constexpr std::size_t kBatchBytes = std::size_t{32} << 10;  // One write at most.
  static constexpr int kStallMs = 5000;  // No delivery for this long ends the run with an error.

  struct Subscriber {
    Descriptor socket;
    Wire wire;
    std::vector<std::byte> in = std::vector<std::byte>(kInputBytes);
    std::size_t in_used = 0;
    Batch out;
  };

  std::expected<void, std::string> open_all() {
    epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
    subscribers_.reserve(options_.connections);
    for (std::uint32_t index = 0; index < options_.connections; ++index) {
      auto socket = connect_to(options_.url);
      if (!socket) return std::unexpected(socket.error());
      Subscriber& subscriber = subscribers_.emplace_back();
      subscriber.socket = std::move(*socket);
      if (auto made = subscriber.wire.subscribe(subscriber.socket.get()); !made) return made;
      epoll_event event{.events = EPOLLIN, .data = {.u32 = index}};
      if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, subscriber.socket.get(), &event) != 0) {
        return std::unexpected("epoll refuses the socket");
      }
    }
    auto socket = connect_to(options_.url);
    if (!socket) return std::unexpected(socket.error());
    publisher_ = std::move(*socket);
    return wire_.open_publisher(publisher_.get());
  }

  void publish_until_over() {
    std::vector<std::byte> payload(options_.size);
    std::vector<std::byte> replies(kInputBytes);
    std::size_t replies_used = 0;
    Batch out;
    for (std::uint64_t published = 0; !over_.load();) {
      // Deliveries of the message that leaves the window first.
      const std::uint64_t seen = delivered_.load();
      const std::uint64_t room_until = seen / options_.connections + window_;
      if (published >= room_until) {
        delivered_.wait(seen);
        continue;
      }
      const std::uint64_t now = now_ns();
      std::memcpy(payload.data(), &now, sizeof now);
      for (; published < room_until && out.pending().size() < kBatchBytes; ++published) {
        wire_.publish(payload, out);
      }
      if (!write_all(publisher_.get(), out.pending())) return;
      out.clear();
      const ssize_t got = ::recv(publisher_.get(), replies.data() + replies_used,
                                 replies.size() - replies_used, MSG_DONTWAIT);
      if (got > 0) replies_used += static_cast<std::size_t>(got);
      const std::size_t taken = Wire::skip_replies(std::span(replies).first(replies_used), out);
      replies_used -= taken;
      std::memmove(replies.data(), replies.data() + taken, replies_used);
    }
  }

  std::expected<void, std::string> take_until_over(Measurement& measurement) {
    std::array<epoll_event, 128> events;
    while (!measurement.over(now_ns())) {
      const int ready =
          ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), kStallMs);
      if (ready == 0) return std::unexpected(fmt::format("no delivery for {} ms", kStallMs));
      std::uint64_t count = 0;
      for (int at = 0; at < ready; ++at) {
        auto took = take(subscribers_[events[static_cast<std::size_t>(at)].data.u32], measurement);
        if (!took) return std::unexpected(took.error());
        count += *took;
      }
      delivered_.fetch_add(count);
      delivered_.notify_one();
    }
    return {};
  }

  // What one read brings; how many messages it completed.
  std::expected<std::uint64_t, std::string> take(Subscriber& subscriber, Measurement& measurement) {
    const ssize_t got =
        read_some(subscriber.socket.get(), std::span(subscriber.in).subspan(subscriber.in_used));
    if (got <= 0) return std::unexpected("the broker closed a subscriber");
    subscriber.in_used += static_cast<std::size_t>(got);
    const std::uint64_t now = now_ns();
    std::uint64_t count = 0;
    bool foreign = false;
    const auto taken = subscriber.wire.deliveries(
        std::span<const std::byte>(subscriber.in).first(subscriber.in_used), subscriber.out,
        [&](std::span<const std::byte> payload) {
          std::uint64_t sent = 0;
          foreign = foreign || payload.size() != options_.size;
          std::memcpy(&sent, payload.data(), std::min(payload.size(), sizeof sent));
          measurement.answered(std::min(sent, now), now);
          ++count;
        });
    if (!taken) return std::unexpected(taken.error());
    if (foreign) return std::unexpected("a delivery of another size");
    subscriber.in_used -= *taken;
    std::memmove(subscriber.in.data(), subscriber.in.data() + *taken, subscriber.in_used);
    if (!write_all(subscriber.socket.get(), subscriber.out.pending())) {
      return std::unexpected("the broker closed a subscriber");
    }
    subscriber.out.clear();
    return count;
  }

  LoadOptions options_;
  const std::uint64_t window_;  // Messages published and not delivered to all.
  Descriptor epoll_;
  std::vector<Subscriber> subscribers_;
  Descriptor publisher_;
  Wire wire_;
  std::atomic<std::uint64_t> delivered_{0};
  std::atomic<bool> over_{false};
};

}  // namespace valkyrie::bench
