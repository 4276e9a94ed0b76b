#include "valkyrie/testing/node.h"

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
#include "transport/address.h"

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

server::ServerOptions server_options(const NodeOptions& options, const std::string& url) {
  server::ServerOptions made;
  const auto address = transport::parse_address(url);
  VALKYRIE_ASSERT(address.has_value());
  made.listen = {*address};
  made.shards = options.shards;
  made.rules = std::make_shared<const registry::ServiceRules>();
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
    auto started = server::Node::start(server_options(options, url_),
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

 private:
  void assert_running() {
    const std::lock_guard lock(mutex_);
    VALKYRIE_ASSERT(!stalled_);
  }

  const std::string url_;
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
  return Client::connect(url(), std::move(options));
}

void Node::cut() { running_->cut(); }

void Node::stall() { running_->stall(); }

void Node::resume() { running_->resume(); }

void Node::drain(Duration grace) { running_->drain(grace); }

}  // namespace valkyrie::testing
