#include "transport/handshake_workers.h"

#include <pthread.h>
#include <span>
#include <sys/resource.h>
#include <utility>

#include "protocol/assert.h"
#include "transport/reactor.h"

namespace valkyrie::transport {
namespace {

// Of a thread: sessions that are there go before strangers.
constexpr int kNice = 5;

class Collector final : public protocol::PlainSink {
 public:
  explicit Collector(std::vector<std::byte>& text) : text_(text) {}
  void on_plain(std::span<std::byte> text) override {
    text_.insert(text_.end(), text.begin(), text.end());
  }

 private:
  std::vector<std::byte>& text_;
};

}  // namespace

HandshakeWorkers::HandshakeWorkers(std::size_t threads) {
  VALKYRIE_ASSERT(threads > 0);
  for (std::size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { work(); });
    pthread_setname_np(threads_.back().native_handle(), "handshakes");
  }
}

HandshakeWorkers::~HandshakeWorkers() {
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void HandshakeWorkers::take(std::shared_ptr<HandshakeStep> step, Reactor& reactor) {
  {
    const std::scoped_lock lock(mutex_);
    errands_.push_back({.step = std::move(step), .reactor = &reactor});
  }
  wake_.notify_one();
}

void HandshakeWorkers::work() {
  static_cast<void>(::setpriority(PRIO_PROCESS, 0, kNice));  // Of this thread alone, on Linux.
  while (true) {
    Errand errand{};
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopped_ || !errands_.empty(); });
      if (stopped_) return;
      errand = std::move(errands_.front());
      errands_.pop_front();
    }
    HandshakeStep& step = *errand.step;
    if (step.given_up.load(std::memory_order_relaxed)) continue;
    Collector opened(step.text);
    step.outcome = step.channel->receive(step.bytes, opened);
    errand.reactor->post([done = std::move(errand.step)] {
      if (done->waiter != nullptr) std::exchange(done->waiter, nullptr)->on_handshake_step(*done);
    });
  }
}

}  // namespace valkyrie::transport
