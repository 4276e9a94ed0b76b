#include "valkyrie/testing/node.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <fmt/format.h>
#include <latch>
#include <mutex>
#include <random>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>
#include <utility>

#include "protocol/assert.h"
#include "server/ops/node.h"
#include "server/ops/service_setting_text.h"
#include "transport/address.h"
#include "transport/skipped_time.h"

namespace valkyrie::testing {
namespace {

std::string fresh_url() {
  static std::atomic<int> count{0};
  return fmt::format("unix:@valkyrie-testing-{}-{}", ::getpid(), ++count);
}

// Lines go to the test's function.
class LogSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit LogSink(std::function<void(std::string_view)> log) : log_(std::move(log)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (log_) log_(std::string_view(message.payload.data(), message.payload.size()));
  }
  void flush_() override {}

  const std::function<void(std::string_view)> log_;
};

// Steps in which time is skipped: less than the interval of keepalives, each with rounds enough for
// a PING and its PONG.
constexpr Duration kStep = std::chrono::seconds{10};
constexpr int kRoundsEach = 2;

server::ServerOptions server_options(const NodeOptions& options, const std::string& url,
                                     std::shared_ptr<transport::SkippedTime> skipped_time) {
  server::ServerOptions made;
  made.skipped_time = std::move(skipped_time);
  auto rules = std::make_shared<registry::ServiceRules>();
  for (const auto& [path, value] : options.settings) {
    VALKYRIE_ASSERT(server::apply_setting(path, value, *rules).has_value());
  }
  const auto address = transport::parse_address(url);
  VALKYRIE_ASSERT(address.has_value());
  made.listen = {*address};
  made.shards = options.shards;
  made.rules = std::move(rules);
  return made;
}

}  // namespace

class Node::Running {
 public:
  explicit Running(const NodeOptions& options)
      : url_(fresh_url()),
        log_(std::make_shared<spdlog::logger>("valkyrie-testing",
                                              std::make_shared<LogSink>(options.log))),
        random_([generator = std::mt19937_64(std::random_device()())]() mutable {
          return generator();
        }),
        shards_(options.shards) {
    auto started = server::Node::start(server_options(options, url_, node_time_),
                                       server::ephemeral_state(random_), random_, *log_);
    VALKYRIE_ASSERT(started.has_value());
    node_ = std::move(*started);
  }

  ~Running() { resume(); }

  [[nodiscard]] const std::string& url() const { return url_; }

  void cut() {
    assert_running();
    node_->cut();
  }

  // Each shard takes a task that ends with resume().
  void stall() {
    std::uint64_t stall = 0;
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(stalled_, true)) return;
      stall = ++stalls_;
    }
    const auto standing = std::make_shared<std::latch>(static_cast<std::ptrdiff_t>(shards_));
    node_->post_to_shards([this, standing, stall] {
      standing->count_down();
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this, stall] { return !stalled_ || stalls_ != stall; });
    });
    standing->wait();
  }

  void resume() {
    const std::lock_guard lock(mutex_);
    stalled_ = false;
    changed_.notify_all();
  }

  void drain(Duration grace) {
    assert_running();
    node_->drain(grace);
  }

  void advance(Duration by) {
    for (Duration left = by; left > Duration::zero(); left -= kStep) {
      node_time_->skip(std::min(left, kStep));
      client_time_->skip(std::min(left, kStep));
      for (int round = 0; round < kRoundsEach; ++round) {
        if (!stalled()) node_time_->settle();
        client_time_->settle();
      }
    }
  }

  [[nodiscard]] const std::shared_ptr<transport::SkippedTime>& client_time() const {
    return client_time_;
  }

 private:
  [[nodiscard]] bool stalled() {
    const std::lock_guard lock(mutex_);
    return stalled_;
  }

  void assert_running() {
    const std::lock_guard lock(mutex_);
    VALKYRIE_ASSERT(!stalled_);
  }

  const std::string url_;
  // The same, but that one of them stands still while the node does.
  const std::shared_ptr<transport::SkippedTime> node_time_ =
      std::make_shared<transport::SkippedTime>();
  const std::shared_ptr<transport::SkippedTime> client_time_ =
      std::make_shared<transport::SkippedTime>();
  const std::shared_ptr<spdlog::logger> log_;
  const server::RandomSource random_;
  const std::size_t shards_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stalled_ = false;      // Guarded by mutex_, as the next.
  std::uint64_t stalls_ = 0;  // So far: a shard that wakes late does not join the next one.
  std::unique_ptr<server::Node> node_;  // The last member: its threads use the others.
};

Node::Node(const NodeOptions& options) : running_(std::make_unique<Running>(options)) {}

Node::~Node() = default;

const std::string& Node::url() const noexcept { return running_->url(); }

Result<Client> Node::connect() const {
  ClientOptions options;
  options.log = [](std::string_view) {};
  options.backoff_min = std::chrono::milliseconds{1};
  options.backoff_max = std::chrono::milliseconds{10};
  return connect(std::move(options));
}

Result<Client> Node::connect(ClientOptions options) const {
  options.skipped_time = running_->client_time();
  return Client::connect(url(), std::move(options));
}

void Node::cut() { running_->cut(); }

void Node::stall() { running_->stall(); }

void Node::resume() { running_->resume(); }

void Node::advance(Duration by) { running_->advance(by); }

void Node::drain(Duration grace) { running_->drain(grace); }

}  // namespace valkyrie::testing
