// The publishing side of a client. Private to this folder.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "protocol/session.h"
#include "sdk/cpp/src/message_queue.h"
#include "sdk/cpp/src/slot.h"
#include "sdk/cpp/src/stream_user.h"
#include "valkyrie/subscription.h"

namespace valkyrie::detail {

// One publish stream for each class, opened on use. Messages of other threads are gathered in one
// buffer, which the loop empties once a turn.
class Publisher final : public SlotOwner {
 public:
  explicit Publisher(Core& core);

  // Any thread.
  Result<void> publish(Subject subject, BytesView payload, const PublishOptions& options);
  [[nodiscard]] Slot& publish_acked(Subject subject, BytesView payload, AckLevel level,
                                    const PublishOptions& options);

  // All below on the loop.
  void on_link_ready(const Link& link);
  void on_published(const protocol::Event& event);
  void on_request_failed(const protocol::Event& event);
  // Hands waiting messages to the session, as far as it takes them.
  void pump();
  // The node behind the connection is leaving: ends its streams.
  void leave(Link& link);
  // Ends every message that no session has, as cancelled.
  void end_all();
  // Messages wait to be handed to the session, or behind missing credit in it.
  [[nodiscard]] bool waiting() const;
  // Messages whose receipt is awaited.
  [[nodiscard]] std::size_t outstanding() const { return outstanding_; }
  // Whether anything was published at all.
  [[nodiscard]] bool used() const { return used_; }
  void give_up(Slot& slot, const Status& status) override;
  void on_timer(Slot& slot) override;

 private:
  // The messages of one class.
  class Lane final : public StreamUser {
   public:
    void on_flushed(const protocol::Event& event) override;
    void on_end(Link& its_link, const protocol::Event& event) override;
    void on_over(Link& its_link, const protocol::Event& event) override;

    Publisher* publisher = nullptr;
    Link* link = nullptr;  // Whose stream it has; nullptr: none.
    std::uint32_t stream = 0;
    std::string subject;           // What the stream was opened with.
    bool stalled = false;          // The session holds a message behind missing credit,
    Slot* stalled_slot = nullptr;  // which belongs to this slot.
    MessageQueue queue;
  };
  enum class Sending : std::uint8_t { done, wait, again };

  [[nodiscard]] Status check(Subject subject, BytesView payload);
  // Makes room for a message among those that wait. False: there is none.
  [[nodiscard]] bool reserve(const Message& message);
  [[nodiscard]] bool hand_over(const Message& message);
  void take_in();
  // The end of a message nobody waits for is in `refusal`.
  [[nodiscard]] Sending send(Lane& lane, const Message& message, Status& refusal);
  [[nodiscard]] Sending try_send(Lane& lane, const Message& message, Link& link, Status& refusal);
  [[nodiscard]] Sending open(Lane& lane, const Message& message, Link& link, Status& refusal);
  [[nodiscard]] Sending refused(Lane& lane, const Message& message, protocol::SendError error,
                                Status& refusal);
  void refuse(const Message& message, Status& refusal, Status why);
  void begin(Slot& slot);
  void begin_acked(const Message& message);
  void pump(Lane& lane);
  void complete(Slot& slot, Delivery delivery);
  void report(const Status& refusal);
  [[nodiscard]] Lane& lane_of(const Message& message);

  Core& core_;
  std::array<Lane, 5> lanes_;  // By class.
  std::size_t outstanding_ = 0;
  bool used_ = false;
  bool pumping_ = false;
  MessageQueue taken_in_;  // Empty outside of take_in().
  // Of any thread.
  std::atomic<std::size_t> waiting_bytes_{0};
  std::atomic<std::uint32_t> payload_bytes_max_{0};  // Of the node seen last; 0: none yet.
  std::mutex mutex_;
  MessageQueue outbox_;     // Guarded by mutex_, as below.
  bool announced_ = false;  // The loop knows that something is in the outbox.
};

}  // namespace valkyrie::detail
