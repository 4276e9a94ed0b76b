// Publish/subscribe as tests use it: subscribers that keep what comes, and what the node counts.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/e2e/programs.h"
#include "valkyrie/client.h"

namespace valkyrie::tests {

// A message that came.
struct Received {
  std::string subject;
  std::string payload;
  std::uint64_t missed = 0;
};

// A subscriber with a connection of its own, which keeps what comes.
class Listener {
 public:
  // Subscribes; the node behind `url` has read it when this returns.
  Listener(const std::string& url, std::string_view filter, const SubscribeOptions& options = {});

  // Messages so far, probes excepted.
  [[nodiscard]] std::size_t count();
  // Waits until there are so many; false if it took too long.
  bool wait_count(std::size_t count);
  // Whether a probe came.
  [[nodiscard]] bool probed();
  // Ends the subscription in order, and returns all that came, probes excepted.
  std::vector<Received> finish();
  // Its connection, to publish from.
  [[nodiscard]] Client& client() { return *client_; }

 private:
  void keep(const PublicationView& publication);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Received> received_;
  bool probed_ = false;
  Result<Client> client_;  // After what its loop uses.
  std::optional<Subscription> subscription_;
};

// Waits until what `publisher` sends to `subject` reaches every listener, wherever in the node it
// is: sends probes, which listeners do not keep.
void probe(Client& publisher, std::string_view subject, std::deque<Listener>& listeners);
// The same for one listener.
void probe(Client& publisher, std::string_view subject, Listener& listener);
// The same for a program that prints what it gets.
void probe(Client& publisher, std::string_view subject, LineReader& lines);
// Whether that is the payload of a probe.
[[nodiscard]] bool is_probe(std::string_view payload);

// One of the counts of valkyrie.Node/Info, which may be a few milliseconds old.
[[nodiscard]] std::uint64_t node_count(Client& client, std::string_view name);
// Waits until it is `value`.
void wait_node_count(Client& client, std::string_view name, std::uint64_t value);
// Waits until it is not 0.
void wait_node_has(Client& client, std::string_view name);

}  // namespace valkyrie::tests
