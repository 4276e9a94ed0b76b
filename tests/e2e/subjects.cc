#include "tests/e2e/subjects.h"

#include <algorithm>
#include <chrono>
#include <stop_token>
#include <thread>
#include <utility>

#include "protocol/assert.h"
#include "protocol/messages/registry.h"

namespace valkyrie::tests {
namespace {

constexpr std::string_view kProbe = "is anybody there?";

void send_probe(Client& publisher, std::string_view subject) {
  VALKYRIE_ASSERT(publisher.publish_acked(subject, kProbe).wait().has_value());
}

}  // namespace

Listener::Listener(const std::string& url, std::string_view filter, const SubscribeOptions& options)
    : client_(Client::connect(url)) {
  VALKYRIE_ASSERT(client_.has_value());
  auto made = client_->subscribe(filter, options,
                                 [this](const PublicationView& publication) { keep(publication); });
  VALKYRIE_ASSERT(made.has_value());
  subscription_ = std::move(*made);
  VALKYRIE_ASSERT(client_->flush().wait().has_value());
}

void Listener::keep(const PublicationView& publication) {
  const std::lock_guard lock(mutex_);
  if (is_probe(publication.payload.text())) {
    probed_ = true;
    return;
  }
  received_.push_back({.subject = std::string(publication.subject),
                       .payload = std::string(publication.payload.text()),
                       .missed = publication.missed});
  changed_.notify_all();
}

std::size_t Listener::count() {
  const std::lock_guard lock(mutex_);
  return received_.size();
}

bool Listener::wait_count(std::size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(server::testing::kPatienceMs),
                           [&] { return received_.size() >= count; });
}

bool Listener::probed() {
  const std::lock_guard lock(mutex_);
  return probed_;
}

std::vector<Received> Listener::finish() {
  subscription_->drain();
  const auto end = subscription_->next().wait();
  EXPECT_TRUE(end.has_value() && !end->has_value());
  const std::lock_guard lock(mutex_);
  return received_;
}

void probe(Client& publisher, std::string_view subject, std::deque<Listener>& listeners) {
  while (!std::ranges::all_of(listeners, [](Listener& one) { return one.probed(); })) {
    send_probe(publisher, subject);
  }
}

void probe(Client& publisher, std::string_view subject, Listener& listener) {
  while (!listener.probed()) send_probe(publisher, subject);
}

void probe(Client& publisher, std::string_view subject, LineReader& lines) {
  const std::jthread prober([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) send_probe(publisher, subject);
  });
  EXPECT_TRUE(lines.find(kProbe).has_value());
}

bool is_probe(std::string_view payload) { return payload == kProbe; }

std::uint64_t node_count(Client& client, std::string_view name) {
  const auto reply = client.call("valkyrie.Node/Info", "").wait();
  VALKYRIE_ASSERT(reply.has_value());
  const auto info = messages::decode<messages::NodeInfoReply>(BytesView(*reply).span());
  VALKYRIE_ASSERT(info.has_value());
  const auto found = std::ranges::find(info->counts, name, &messages::NamedNumber::first);
  VALKYRIE_ASSERT(found != info->counts.end());
  return found->second;
}

void wait_node_count(Client& client, std::string_view name, std::uint64_t value) {
  while (node_count(client, name) != value) {
  }
}

void wait_node_has(Client& client, std::string_view name) {
  while (node_count(client, name) == 0) {
  }
}

}  // namespace valkyrie::tests
