// Publish/subscribe of one shard: docs/spec/publish.md. Private to this folder. One file of
// functions per concern:
//   router_publish.cc     publishers, matching, fan-out
//   router_delivery.cc    queues of subscriptions and what leaves them
//   router_subscribe.cc   subscriptions, groups, and what the shards tell each other of them
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/router/publish_state.h"
#include "server/router/shard_message.h"
#include "server/router/slab.h"

namespace valkyrie::router {

class RouterCore;

// Bytes that are known to be text.
[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Each shard matches for its own subscriptions, and knows by filter which other shards have any: a
// message goes there once, as a reference. Of groups every shard knows how many members each shard
// has, so that the publisher's shard chooses.
class PublishCore {
 public:
  // Keeps a reference to `core`, which owns it.
  PublishCore(RouterCore& core, std::uint64_t seed);

  // The peer opened a stream of kind `publish` or `subscribe`.
  void on_publish_opened(ConnectionId id, const protocol::Event& event);
  void on_subscribe_opened(ConnectionId id, const protocol::Event& event);
  // Events of those streams; ids are those of their tags.
  void on_publisher_event(std::uint64_t id, const protocol::Event& event);
  void on_subscription_event(std::uint64_t id, const protocol::Event& event);
  void on_flushed(std::uint64_t subscription);
  // What another shard sent.
  void on_message(std::uint32_t from, ShardMessage& message);
  // Tells the other shards what has changed in this turn.
  void end_turn();

  // Adds what exists now.
  void count(RouterCensus& census) const;

 private:
  // A message on its way out: borrowed while it goes straight to sessions, shared from when the
  // first subscriber or shard has to keep it.
  struct Outbound {
    std::span<const std::byte> metadata;
    std::span<const std::byte> payload;
    std::uint8_t qos = 0;
    ConnectionId publisher = 0;  // 0: on another shard.
    std::uint32_t stream = 0;
    std::uint32_t cost = 0;
    std::shared_ptr<Publication> shared{};
  };
  // Why a message or stream is not taken.
  struct Refusal {
    protocol::StatusCode status;
    protocol::CloseCode code;
    std::string_view text;
  };

  // router_publish.cc
  void on_publish(Publisher& publisher, const protocol::Event& event);
  [[nodiscard]] std::optional<Refusal> check(const Publisher& publisher,
                                             const protocol::Event& event, std::string_view subject,
                                             bool is_known) const;
  [[nodiscard]] static std::optional<Refusal> check_subject_of(std::string_view subject,
                                                               SubjectForm form);
  void refuse(Publisher& publisher, const protocol::Event& event, const Refusal& refusal);
  [[nodiscard]] std::span<const std::byte> event_metadata(const protocol::MetadataView& from,
                                                          std::string_view subject);
  const Matches& look_up(std::string_view subject);
  void collect(std::string_view subject, Matches& matches);
  void fan_out(const Matches& matches, Outbound& message);
  void deliver_to_group(Group& group, Outbound& message, std::uint32_t hops);
  [[nodiscard]] Subscription* choose_member(Group& group, ConnectionId publisher, bool ready_only);
  [[nodiscard]] std::uint32_t choose_shard(Group& group, bool ready_only, std::uint64_t turn) const;
  void post_group(std::uint32_t shard, const Group& group,
                  std::shared_ptr<const Publication> publication, std::uint32_t hops);
  const std::shared_ptr<Publication>& share(Outbound& message) const;
  const std::shared_ptr<Publication>& share_far(Outbound& message) const;
  void on_far_publication(ShardMessage& message);
  void on_far_group_publication(ShardMessage& message);
  void settle(const Publication& publication);

  // router_delivery.cc
  void deliver(Subscription& subscription, Outbound& message);
  bool send(Subscription& subscription, std::shared_ptr<const Publication> publication,
            std::uint32_t sequence);
  void enqueue(Subscription& subscription, std::shared_ptr<const Publication> publication);
  bool make_room(Subscription& subscription, Connection& connection, std::uint64_t bytes);
  Subscription::Waiting take_front(Subscription& subscription, Connection& connection);
  void drop_all(Subscription& subscription, Connection& connection);
  void give_up(Subscription& subscription, Connection& connection);
  void pump(Subscription& subscription);

  // router_subscribe.cc
  void reset(ConnectionId id, std::uint32_t stream, const Refusal& refusal);
  void unsubscribe(Subscription& subscription);
  void close(Subscription& subscription);
  bool join(Subscription& subscription, std::string_view name);
  void leave(Subscription& subscription);
  [[nodiscard]] Group* find_group(std::string_view filter, std::string_view name);
  Group& make_group(std::string_view filter, std::string_view name);
  void drop_if_unused(Group& group);
  void set_ready(Subscription& subscription, bool ready);
  void announce(Group& group);
  void note_interest(const std::string& filter, bool more);
  void on_interest(std::uint32_t from, const ShardMessage& message);
  void on_group(std::uint32_t from, const ShardMessage& message);
  void add_or_keep_loose(Interest& interest);
  [[nodiscard]] bool add(Interest& interest, std::string_view filter);
  void remove(Interest& interest);

  struct SubjectHash {
    using is_transparent = void;
    const SubjectTable* table;
    std::size_t operator()(std::string_view text) const { return table->hash(text); }
  };
  template <class T>
  using BySubject = std::unordered_map<std::string, T, SubjectHash, std::equal_to<>>;

  RouterCore& core_;
  SubjectTable table_;
  Slab<Publisher> publishers_;
  Slab<Subscription> subscriptions_;
  BySubject<std::unique_ptr<Group>> groups_;  // By filter, blank, name.
  BySubject<std::uint32_t> filters_;          // Of subscriptions here without a group: how many.
  std::vector<BySubject<std::unique_ptr<ShardInterest>>> far_filters_;  // Of each other shard.
  std::vector<Interest*> loose_;  // Of other shards, and too dear for the table: asked one by one.
  std::vector<Group*> changed_;
  BySubject<Matches> cache_;
  std::size_t cached_interests_ = 0;
  std::uint64_t epoch_ = 1;  // Of what is in cache_ and in publishers, only this counts.
  std::vector<SubjectEntry*> found_;
  std::vector<std::byte> scratch_;
  std::uint64_t queued_events_ = 0;
  std::uint64_t queued_bytes_ = 0;
};

}  // namespace valkyrie::router
