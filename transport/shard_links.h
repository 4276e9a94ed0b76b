// Messages between the shards of a node: one single-producer ring for each ordered pair of shards.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "protocol/assert.h"
#include "transport/reactor.h"
#include "transport/spsc_ring.h"

namespace valkyrie::transport {

// Takes what other shards send to one shard.
template <class Message>
class ShardReceiver {
 public:
  // On the receiving shard's thread, at the start of a turn. Messages of one sender come in the
  // order in which they were sent.
  virtual void on_message(std::size_t from, Message&& message) = 0;

 protected:
  ~ShardReceiver() = default;
};

// All rings of a node. Nothing is lost and nothing overtakes: what does not fit a ring waits at
// the sender, in order, until the receiver has made room. The rings bound what is in flight; what
// waits at a sender is bounded by the credit of the sessions whose work it is.
//
// The wake-up is coalesced: a sender wakes each receiver at most once a turn, and only one that
// sleeps costs a system call.
//
// Life: construct; attach() each shard on its own thread or before the threads start; send();
// stop all reactors; detach() or destroy before the reactors.
template <class Message>
class ShardLinks {
 public:
  // Messages a ring of one pair holds.
  static constexpr std::size_t kRingMessagesDefault = 1024;

  explicit ShardLinks(std::size_t shards, std::size_t ring_messages = kRingMessagesDefault) {
    for (std::size_t i = 0; i < shards; ++i) ends_.push_back(std::make_unique<End>(*this, i));
    for (std::size_t i = 0; i < shards * shards; ++i) {
      links_.push_back(std::make_unique<Link>(ring_messages));
    }
  }
  ShardLinks(const ShardLinks&) = delete;
  ShardLinks& operator=(const ShardLinks&) = delete;
  ~ShardLinks() {
    for (std::size_t i = 0; i < ends_.size(); ++i) detach(i);
  }

  // Names the reactor and the receiver of a shard. Neither is owned. Every shard must be attached
  // before the first message to or from it. REQUIRES: the thread of `reactor`, or none runs yet.
  void attach(std::size_t shard, Reactor& reactor, ShardReceiver<Message>& receiver) {
    End& end = *ends_[shard];
    VALKYRIE_ASSERT(end.reactor == nullptr);
    end.reactor = &reactor;
    end.receiver = &receiver;
    reactor.add_inbox(end);
  }

  // Undoes attach(); what is still under way to the shard stays unseen. REQUIRES: no shard sends
  // any more.
  void detach(std::size_t shard) {
    End& end = *ends_[shard];
    if (end.reactor != nullptr) std::exchange(end.reactor, nullptr)->remove_inbox(end);
  }

  // Sends from one shard to another or to itself, delivered in a later turn.
  // REQUIRES: the thread of shard `from`.
  void send(std::size_t from, std::size_t to, Message message) {
    Link& link = link_of(from, to);
    if (!link.overflow.empty() || !link.ring.try_push(message)) {
      link.overflow.push_back(std::move(message));
    }
    link.touched = true;
    End& end = *ends_[from];
    end.reactor->at_end_of_turn(end);
  }

  // Messages from one shard to another that wait for room in their ring.
  // REQUIRES: the thread of shard `from`.
  [[nodiscard]] std::size_t overflow_count(std::size_t from, std::size_t to) const {
    return link_of(from, to).overflow.size();
  }

  // How many shards there are.
  [[nodiscard]] std::size_t shard_count() const { return ends_.size(); }

 private:
  struct Link {
    explicit Link(std::size_t ring_messages) : ring(ring_messages) {}

    SpscRing<Message> ring;
    // Set by a sender that has overflow, taken by the receiver when it has made room.
    std::atomic<bool> sender_waits{false};
    std::deque<Message> overflow;  // Sender only.
    bool touched = false;          // Sender only: something was sent since the last wake-up.
  };

  struct End final : Inbox, EndOfTurn {
    End(ShardLinks& of, std::size_t shard) : links(of), index(shard) {}

    bool pending() const override { return links.pending(index); }
    void drain() override { links.drain(index); }
    void on_end_of_turn() override { links.flush(index); }

    ShardLinks& links;
    const std::size_t index;
    Reactor* reactor = nullptr;
    ShardReceiver<Message>* receiver = nullptr;
    // Set by a receiver that has made room for this shard's overflow.
    std::atomic<bool> room{false};
  };

  [[nodiscard]] Link& link_of(std::size_t from, std::size_t to) const {
    return *links_[from * ends_.size() + to];
  }

  [[nodiscard]] bool pending(std::size_t shard) const {
    if (ends_[shard]->room.load(std::memory_order_acquire)) return true;
    for (std::size_t from = 0; from < ends_.size(); ++from) {
      if (!link_of(from, shard).ring.empty()) return true;
    }
    return false;
  }

  void drain(std::size_t shard) {
    End& end = *ends_[shard];
    for (std::size_t from = 0; from < ends_.size(); ++from) {
      Link& link = link_of(from, shard);
      const std::size_t taken = link.ring.pop_all(
          [&](Message&& message) { end.receiver->on_message(from, std::move(message)); });
      if (taken == 0) continue;
      // An exchange even when nobody seems to wait: see flush().
      if (link.sender_waits.exchange(false, std::memory_order_acq_rel)) {
        ends_[from]->room.store(true, std::memory_order_release);
        ends_[from]->reactor->wake();
      }
    }
    if (end.room.exchange(false, std::memory_order_acq_rel)) flush(shard);
  }

  // Moves overflow into its rings and wakes the receivers. The flag is set before the last try: if
  // the receiver made room before it saw the flag, that try finds the room.
  void flush(std::size_t shard) {
    for (std::size_t to = 0; to < ends_.size(); ++to) {
      Link& link = link_of(shard, to);
      if (!link.touched && link.overflow.empty()) continue;
      push_overflow(link);
      if (!link.overflow.empty()) {
        static_cast<void>(link.sender_waits.exchange(true, std::memory_order_acq_rel));
        push_overflow(link);
      }
      link.touched = false;
      if (to != shard) ends_[to]->reactor->wake();
    }
  }

  static void push_overflow(Link& link) {
    while (!link.overflow.empty() && link.ring.try_push(link.overflow.front())) {
      link.overflow.pop_front();
    }
  }

  std::vector<std::unique_ptr<End>> ends_;
  std::vector<std::unique_ptr<Link>> links_;  // [from * shards + to]
};

}  // namespace valkyrie::transport
