// One side of a stream of messages, whoever opened it. Private to this folder.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "protocol/fifo.h"
#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/slot.h"
#include "sdk/cpp/src/stream_user.h"
#include "sdk/cpp/src/wire.h"
#include "valkyrie/stream.h"

namespace valkyrie::detail {

// What waits to be sent, and what came and was not read. Credit returns as messages are read, so
// what is kept is at most a window and one message that somebody waits for.
class StreamSide : public StreamUser, public SlotOwner {
 public:
  // Bytes that try_write() lets wait, a message's overhead included.
  static constexpr std::size_t kTryBacklogMax = 64u << 10;

  StreamSide(const StreamSide&) = delete;
  StreamSide& operator=(const StreamSide&) = delete;

  // Any thread.
  [[nodiscard]] Slot& write(Bytes message);
  [[nodiscard]] bool try_write(Bytes message);
  [[nodiscard]] Slot& read();

  // All below on the loop.
  // Opens it on the connection, if there is one; sends what waits.
  void advance();
  [[nodiscard]] bool over() const { return over_; }
  void give_up(Slot& slot, const Status& status) override;

 protected:
  StreamSide(Core& core, std::uint8_t qos) : core_(core), qos_(qos) {}
  virtual ~StreamSide() = default;

  // Keep the object alive while work for it is on its way to the loop. Any thread.
  virtual void retain() = 0;
  virtual void release() = 0;
  // Gives it a stream, see bind(), if it has none. False: not now.
  [[nodiscard]] virtual bool open() = 0;
  // Metadata of END; written to `buffer`.
  [[nodiscard]] virtual std::span<const std::byte> end_metadata(MetadataBuffer& buffer);
  // Whether somebody waits for a message, which may then grow past the window.
  [[nodiscard]] virtual bool expects_message() const { return reader_ != nullptr; }
  // A message is whole; its credit is to be returned when it was dealt with.
  virtual void on_message(Bytes message, std::uint32_t cost);

  void on_data(Link& link, const protocol::Event& event) override;
  void on_flushed(const protocol::Event& event) override;

  // Runs `work` on the loop: now, if this is it. False: the loop has ended.
  template <class Work>
  bool hand_over(Work work) {
    if (core_.on_loop()) {
      work();
      return true;
    }
    retain();
    const bool posted = core_.post([this, work = std::move(work)] {
      work();
      release();
    });
    if (!posted) release();
    return posted;
  }

  void bind(Link& link, std::uint32_t stream) {
    link_ = &link;
    stream_ = stream;
  }
  // Says that no message follows, once all that was written before is sent.
  void end_output();
  // The peer ended the call: what was not sent interests it no more. False: something was left,
  // and the stream must be reset.
  [[nodiscard]] bool abandon_output(const Status& why);
  // No message is read any more: what comes is dropped, and reads end with `why`.
  void end_input(Status why, bool drop_unread);
  // The stream is over.
  void end(Status why);
  // Sends a message whose end nobody waits for. On any thread; false: the loop has ended.
  bool write_unattended(Bytes message);
  void consume(std::uint32_t cost);

  Core& core_;
  const std::uint8_t qos_;
  Link* link_ = nullptr;  // nullptr: not opened, or over.
  std::uint32_t stream_ = 0;
  bool output_ended_ = false;  // Nothing more is taken.
  bool end_sent_ = false;      // END was handed to the session.
  bool input_ended_ = false;   // Nothing more is delivered.
  bool over_ = false;
  Status status_;  // What reads end with, once input_ended_.

 private:
  friend class Streams;

  struct Received {
    Bytes message;
    std::uint32_t cost;
  };

  void accept_write(Slot& slot);
  [[nodiscard]] bool send(Slot& slot);
  void end_write(Slot& slot, const Status& status);
  void end_writes(const Status& why);
  void accept_read(Slot& slot);
  void deliver(Slot& slot, Bytes message, std::uint32_t cost);
  void deliver_end(Slot& slot);
  void let_grow();

  // Of any thread.
  std::atomic<std::size_t> backlog_{0};  // Bytes handed in and not yet inside the credit.
  std::atomic<bool> deaf_{false};        // Writing is pointless.
  // Of the loop.
  SlotList unsent_;
  SlotList waiting_;  // With the session, behind missing credit.
  protocol::Fifo<Received> inbox_;
  bool assembling_ = false;
  std::string assembly_;
  std::uint32_t withheld_ = 0;  // Credit of the parts of a message that nobody waits for yet.
  Slot* reader_ = nullptr;
  bool waits_for_room_ = false;
  StreamSide* next_waiting_ = nullptr;
  StreamSide* previous_waiting_ = nullptr;
};

}  // namespace valkyrie::detail
