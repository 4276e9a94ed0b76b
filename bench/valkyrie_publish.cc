// Both ends of our own publish rows, by the C++ SDK, under the same window as the peers'
// (fan_out.h): the subscribers share one loop, the publisher has another. Takes the options of a
// load program.
//
//   valkyrie_publish --stall URL
//
// subscribes, says `ready` and stops itself: a subscriber that reads nothing, for the slow-peer
// row.

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <expected>
#include <fmt/format.h>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "bench/load.h"
#include "valkyrie/valkyrie.h"

namespace valkyrie::bench {
namespace {

constexpr std::string_view kSubject = "bench.news";
constexpr std::uint64_t kWindowBytes = 16U << 20;  // As the peers' load has.
constexpr std::uint64_t kClockEvery = 8;           // Deliveries for one look at the clock.
constexpr double kSlackSeconds = 10;

ClientOptions options_on(Loop* loop) {
  ClientOptions options;
  options.loop = loop;
  options.log = [](std::string_view) {};
  return options;
}

class PublishLoad {
 public:
  explicit PublishLoad(LoadOptions options)
      : options_(std::move(options)),
        window_(std::clamp<std::uint64_t>(
            kWindowBytes / (std::uint64_t{options_.size} * options_.connections), 1,
            options_.depth)),
        batch_(std::max<std::uint64_t>(1, window_ / 4)),
        payload_(options_.size),
        measurement_(options_, 0) {}
  PublishLoad(const PublishLoad&) = delete;
  PublishLoad& operator=(const PublishLoad&) = delete;

  [[nodiscard]] std::expected<std::string, std::string> run(std::string_view program) {
    if (!loop_) return std::unexpected(loop_.error().to_string());
    if (options_.size < sizeof(std::uint64_t)) return std::unexpected("--size is below 8");
    if (auto opened = open_all(); !opened) return std::unexpected(opened.error().to_string());
    measurement_ = Measurement(options_, now_ns());
    std::thread turning([this] { loop_->run(); });
    publisher_->spawn(publish(this, published_ = window_));
    bool over = false;
    {
      std::unique_lock lock(mutex_);
      over = over_changed_.wait_for(
          lock, std::chrono::duration<double>(options_.warmup_s + options_.time_s + kSlackSeconds),
          [this] { return over_; });
      over_ = true;
    }
    loop_->stop();
    turning.join();
    publisher_.reset();
    subscriptions_.clear();
    subscribers_.clear();
    if (!over) return std::unexpected("deliveries have ceased");
    if (!failure_.empty()) return std::unexpected(failure_);
    std::string result = measurement_.to_json(program);
    result.pop_back();
    return fmt::format("{}, \"missed\": {}}}", result, missed_);
  }

 private:
  Result<void> open_all() {
    for (std::uint32_t i = 0; i < options_.connections; ++i) {
      auto client = Client::connect(options_.url, options_on(&*loop_));
      if (!client) return std::unexpected(client.error());
      auto subscription = client->subscribe(
          kSubject, {}, [this](const PublicationView& message) { take(message); });
      if (!subscription) return std::unexpected(subscription.error());
      if (auto known = client->flush().wait(); !known) return known;
      subscribers_.push_back(std::move(*client));
      subscriptions_.push_back(std::move(*subscription));
    }
    auto client = Client::connect(options_.url, options_on(nullptr));
    if (!client) return std::unexpected(client.error());
    publisher_.emplace(std::move(*client));
    return {};
  }

  // On the publisher's loop.
  static Task<Result<void>> publish(PublishLoad* self, std::uint64_t count) {
    const std::uint64_t now = now_ns();
    std::memcpy(self->payload_.data(), &now, sizeof now);
    for (std::uint64_t i = 0; i < count; ++i) {
      auto taken = self->publisher_->publish(kSubject, BytesView(self->payload_));
      if (!taken) {
        self->end(taken.error().to_string());
        co_return taken;
      }
    }
    co_return Result<void>();
  }

  // On the subscribers' loop.
  void take(const PublicationView& message) {
    if (deliveries_++ % kClockEvery == 0) now_ = now_ns();
    std::uint64_t sent = 0;
    std::memcpy(&sent, message.payload.data(), sizeof sent);
    measurement_.answered(std::min(sent, now_), now_);
    passed_ += 1 + message.missed;
    missed_ += message.missed;
    if (measurement_.over(now_)) return end({});
    const std::uint64_t room = passed_ / options_.connections + window_ - published_;
    if (room < batch_) return;
    published_ += room;
    publisher_->spawn(publish(this, room));
  }

  void end(std::string failure) {
    const std::lock_guard lock(mutex_);
    if (over_) return;
    over_ = true;
    failure_ = std::move(failure);
    over_changed_.notify_all();
  }

  const LoadOptions options_;
  const std::uint64_t window_;  // Messages published and not delivered to all.
  const std::uint64_t batch_;   // Published at a time.
  std::vector<std::byte> payload_;
  Measurement measurement_;
  std::uint64_t deliveries_ = 0;
  std::uint64_t passed_ = 0;  // Deliveries, and what was lost instead.
  std::uint64_t missed_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t now_ = 0;
  Result<Loop> loop_ = Loop::create();
  std::vector<Client> subscribers_;
  std::vector<Subscription> subscriptions_;
  std::optional<Client> publisher_;
  std::mutex mutex_;
  std::condition_variable over_changed_;
  bool over_ = false;  // Guarded by mutex_, as the next.
  std::string failure_;
};

int stall(const char* url) {
  auto client = Client::connect(url, options_on(nullptr));
  auto subscription = client ? client->subscribe(kSubject, {}, [](const PublicationView&) {})
                             : std::unexpected(client.error());
  const auto known = subscription ? client->flush().wait() : std::unexpected(subscription.error());
  if (!known) {
    fmt::print(stderr, "valkyrie_publish: {}\n", known.error().to_string());
    return 1;
  }
  fmt::print("ready\n");
  std::fflush(stdout);
  std::raise(SIGSTOP);
  return 0;
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) {
  using namespace valkyrie::bench;
  if (argc == 3 && std::string_view(argv[1]) == "--stall") return stall(argv[2]);
  return load_main<PublishLoad>(argc, argv, "valkyrie_publish");
}
