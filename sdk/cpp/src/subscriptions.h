// The subscribing side of a client. Private to this folder.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>

#include "sdk/cpp/src/slot.h"
#include "sdk/cpp/src/stream_user.h"
#include "transport/timer_wheel.h"
#include "valkyrie/client.h"
#include "valkyrie/subscription.h"

namespace valkyrie::detail {

// A subscription and the stream it has on the connection in use. Lives until its handle is gone and
// no session knows it.
class SubscriptionCore final : public StreamUser, public SlotOwner {
 public:
  SubscriptionCore(CoreHandle core, std::uint64_t id, Subject filter,
                   const SubscribeOptions& options, PublicationHandler handler);

  // Any thread.
  [[nodiscard]] Slot& next();
  void drain();
  void unsubscribe();
  void release();

  // All below on the loop.
  void begin();
  // Instead of begin(), when the loop has ended.
  void end_unbegun();
  // Subscribes on the connection, if there is one and this is not done yet.
  void advance();
  // The node behind the connection is leaving.
  void leave(Link& link);
  // The client closes: what has a handler is drained, the rest ends.
  void close();
  // Ends it as `status`, unless it is over.
  void end(Status status);
  [[nodiscard]] std::uint64_t id() const { return id_; }
  void give_up(Slot& slot, const Status& status) override;

 private:
  struct Received {
    Bytes block;
    std::uint64_t number;
    std::uint32_t cost;
    std::uint32_t epoch;
  };

  void on_publication(Link& link, const protocol::Event& event) override;
  void on_end(Link& link, const protocol::Event& event) override;
  void on_over(Link& link, const protocol::Event& event) override;
  void on_retry() { advance(); }

  void open(Link& link);
  void keep(const protocol::Event& event, std::uint64_t missed, bool interrupted);
  void accept_next(Slot& slot);
  void accept_drain();
  void accept_unsubscribe();
  void accept_release();
  void deliver(Slot& slot, Received received);
  void deliver_end(Slot& slot);
  void lost(const Status& why);
  void dispose_if_done();

  const CoreHandle core_;
  const std::uint64_t id_;
  const std::string filter_;
  const std::string group_;
  const Overflow overflow_;
  const bool no_echo_;
  const PublicationHandler handler_;
  transport::Timer retry_timer_ = transport::Timer::calling<&SubscriptionCore::on_retry>(this);
  Link* link_ = nullptr;  // Whose stream it has; nullptr: none.
  std::uint32_t stream_ = 0;
  std::uint32_t epoch_ = 0;     // Counts the streams it has had.
  std::uint32_t expected_ = 1;  // Sequence of the next event.
  std::uint32_t failures_ = 0;  // Streams lost since the last event.
  bool end_sent_ = false;
  bool draining_ = false;     // The user wants no new messages.
  bool interrupted_ = false;  // Messages may have passed unseen.
  bool given_up_ = false;     // The node waited too long for credit: go on when all is read.
  bool over_ = false;
  bool released_ = false;  // The user's handle is gone.
  Status status_;          // How it ended, once over_.
  std::deque<Received> inbox_;
  Slot* reader_ = nullptr;
  std::string scratch_;
};

class Subscriptions {
 public:
  explicit Subscriptions(Core& core) : core_(core) {}

  // Any thread.
  [[nodiscard]] Result<SubscriptionHandle> open(Subject filter, const SubscribeOptions& options,
                                                PublicationHandler handler);

  // All below on the loop.
  void add(SubscriptionCore& one) { open_.emplace(one.id(), &one); }
  void remove(const SubscriptionCore& one) { open_.erase(one.id()); }
  // As SubscriptionCore says, for all.
  void advance();
  void leave(Link& link);
  void close();
  void end_all();
  // Those that are not over.
  [[nodiscard]] std::size_t open_count() const { return open_.size(); }

 private:
  template <class F>
  void for_each(F f);

  Core& core_;
  std::atomic<std::uint64_t> ids_{0};
  std::unordered_map<std::uint64_t, SubscriptionCore*> open_;
};

}  // namespace valkyrie::detail
