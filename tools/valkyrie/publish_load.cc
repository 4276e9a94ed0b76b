#include "tools/valkyrie/publish_load.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include "tools/valkyrie/load_clock.h"
#include "tools/valkyrie/loop_thread.h"

namespace valkyrie::tools {

namespace {

// Bytes between two looks at what the node has read, and how many of these are under way: enough to
// keep a connection busy, little enough that messages do not queue in the publisher.
constexpr std::size_t kBatchBytes = 64u << 10;
constexpr int kBatches = 4;
// Time a batch may take at most: the clock is read for each message anyway.
constexpr std::size_t kBatchMessagesMax = 1024;

// The messages of one publisher. Its members belong to the client's loop once it runs.
class Publishing {
 public:
  Publishing(Client client, std::string subject, std::size_t size, const Window& window)
      : client_(std::move(client)),
        subject_(std::move(subject)),
        body_(size, 'x'),
        batch_(std::clamp<std::size_t>(kBatchBytes / (size + 32), 1, kBatchMessagesMax)),
        window_(window) {}

  // Publishes until the window ends, on the client's loop.
  void run() {
    for (int i = 0; i < kBatches; ++i) await_room();
  }

  // Publishes one message that was due at `due_ns`. With a rate: on one thread, without run().
  void publish(std::uint64_t due_ns) {
    std::memcpy(body_.data(), &due_ns, kStampBytes);
    const auto sent = client_.publish(subject_, body_);
    if (!sent) {
      ++errors_;
      if (!first_error_) first_error_ = sent.error();
    } else if (window_.contains(due_ns)) {
      ++published_;
    }
  }

  void finish(PublishLoadResult& result) {
    client_.close();
    result.published += published_;
    result.errors += errors_;
    if (!result.first_error) result.first_error = first_error_;
  }

 private:
  void await_room() {
    client_.flush().then([this](Result<void> flushed) {
      if (!flushed) return;
      for (std::size_t i = 0; i < batch_; ++i) {
        const std::uint64_t now = now_ns();
        if (now >= window_.end_ns) return;
        publish(now);
      }
      await_room();
    });
  }

  Client client_;
  const std::string subject_;
  std::string body_;
  const std::size_t batch_;
  const Window& window_;
  std::uint64_t published_ = 0;
  std::uint64_t errors_ = 0;
  std::optional<Status> first_error_;
};

// What one subscriber gets. Its members belong to the client's loop.
class Receiving {
 public:
  Receiving(Client client, const Window& window) : client_(std::move(client)), window_(window) {}

  [[nodiscard]] Result<void> subscribe(const std::string& subject) {
    auto subscription = client_.subscribe(
        subject, {}, [this](const PublicationView& publication) { on_message(publication); });
    if (!subscription) return std::unexpected(subscription.error());
    subscription_.emplace(std::move(*subscription));
    return client_.flush().wait();
  }

  void finish(PublishLoadResult& result) {
    subscription_->unsubscribe();
    client_.close();
    result.latency.merge(latency_);
    result.delivered += delivered_;
    result.missed += missed_;
  }

 private:
  void on_message(const PublicationView& publication) {
    if (publication.payload.size() < kStampBytes) return;
    const std::uint64_t now = now_ns();
    if (!window_.contains(now)) return;
    std::uint64_t sent_ns = 0;
    std::memcpy(&sent_ns, publication.payload.data(), kStampBytes);
    ++delivered_;
    missed_ += publication.missed;
    if (sent_ns >= window_.begin_ns) latency_.record(now - sent_ns);
  }

  Client client_;
  const Window& window_;
  std::optional<Subscription> subscription_;
  Histogram latency_;
  std::uint64_t delivered_ = 0;
  std::uint64_t missed_ = 0;
};

using Publishers = std::vector<std::unique_ptr<Publishing>>;
using Receivers = std::vector<std::unique_ptr<Receiving>>;

std::expected<Receivers, int> open_receivers(const Globals& globals,
                                             const PublishLoadOptions& options, Loops& loops,
                                             const std::string& subject, const Window& window) {
  Receivers receivers;
  for (std::uint32_t i = 0; i < options.subscribers; ++i) {
    // From the last loop on, publishers from the first.
    auto client = connect(globals, &loops[loops.size() - 1 - i % loops.size()]->loop());
    if (!client) return std::unexpected(client.error());
    receivers.push_back(std::make_unique<Receiving>(std::move(*client), window));
    if (auto known = receivers.back()->subscribe(subject); !known) {
      return std::unexpected(report(known.error()));
    }
  }
  return receivers;
}

std::expected<Publishers, int> open_publishers(const Globals& globals,
                                               const PublishLoadOptions& options, Loops& loops,
                                               const std::string& subject, const Window& window) {
  Publishers publishers;
  for (std::uint32_t i = 0; i < options.connections; ++i) {
    auto client = connect(globals, &loops[i % loops.size()]->loop());
    if (!client) return std::unexpected(client.error());
    // What would fail a million times is told once.
    const auto probe = client->publish_acked(subject + ".probe", "probe").wait();
    if (!probe) return std::unexpected(report(probe.error()));
    publishers.push_back(
        std::make_unique<Publishing>(std::move(*client), subject, options.size, window));
  }
  return publishers;
}

void pace(const PublishLoadOptions& options, const Window& window, Publishers& publishers) {
  const double step_ns = 1e9 / options.rate;
  double due_ns = static_cast<double>(now_ns());
  for (std::size_t i = 0; due_ns < static_cast<double>(window.end_ns); ++i, due_ns += step_ns) {
    const auto due = static_cast<std::uint64_t>(due_ns);
    if (due > now_ns()) sleep_until_ns(due);
    publishers[i % publishers.size()]->publish(due);
  }
}

}  // namespace

std::expected<PublishLoadResult, int> generate_publish_load(const Globals& globals,
                                                            const PublishLoadOptions& options) {
  Window window;
  const std::string subject = fmt::format("bench.pub.{}", ::getpid());
  auto loops = start_loops(options.loops);
  if (!loops) return std::unexpected(loops.error());
  auto receivers = open_receivers(globals, options, *loops, subject, window);
  if (!receivers) return std::unexpected(receivers.error());
  auto publishers = open_publishers(globals, options, *loops, subject, window);
  if (!publishers) return std::unexpected(publishers.error());
  window.begin_ns = now_ns() + static_cast<std::uint64_t>(options.warmup.count());
  window.end_ns = window.begin_ns + static_cast<std::uint64_t>(options.time.count());
  if (options.rate > 0) {
    pace(options, window, *publishers);
  } else {
    for (const auto& publisher : *publishers) publisher->run();
    sleep_until_ns(window.end_ns);
  }
  PublishLoadResult result;
  for (const auto& publisher : *publishers) publisher->finish(result);
  for (const auto& receiver : *receivers) receiver->finish(result);
  result.seconds = static_cast<double>(options.time.count()) / 1e9;
  return result;
}

}  // namespace valkyrie::tools
