// Streams of many messages that this client opened. Private to this folder.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "sdk/cpp/src/slot.h"
#include "sdk/cpp/src/stream_user.h"
#include "transport/timer_wheel.h"
#include "valkyrie/client.h"
#include "valkyrie/stream.h"

namespace valkyrie::detail {

// Cancels a stream, from whichever thread requests the stop.
struct StreamStop {
  Core* core;
  std::uint64_t id;

  void operator()() const noexcept;
};

class StreamCore final : public StreamUser, public SlotOwner {
 public:
  // Bytes that try_write() lets wait.
  static constexpr std::size_t kTryBacklogMax = 64u << 10;

  StreamCore(CoreHandle core, std::uint64_t id, Target target, const CallOptions& options);

  // Any thread.
  [[nodiscard]] Slot& write(Bytes message);
  [[nodiscard]] bool try_write(Bytes message);
  [[nodiscard]] Slot& read();
  void finish();
  void cancel();
  void release();

  // All below on the loop.
  void begin();
  // Opens it on the connection, if there is one; sends what waits.
  void advance();
  void reset(protocol::CloseCode code, Status status);
  // Instead of begin(), when the loop has ended.
  void end_unbegun();
  [[nodiscard]] bool over() const { return over_; }
  [[nodiscard]] std::uint64_t id() const { return id_; }
  void give_up(Slot& slot, const Status& status) override;

 private:
  struct Write {
    Bytes message;
    Slot* slot;  // nullptr: of try_write().
  };
  struct Sent {
    std::size_t bytes;
    Slot* slot;
  };
  struct Received {
    Bytes message;
    std::uint32_t cost;
  };

  void on_data(Link& link, const protocol::Event& event) override;
  void on_end(Link& link, const protocol::Event& event) override;
  void on_flushed(const protocol::Event& event) override;
  void on_over(Link& link, const protocol::Event& event) override;
  void on_deadline();

  void open(Link& link);
  void accept_write(Bytes message, Slot* slot);
  [[nodiscard]] bool send(Write& write);
  void accept_read(Slot& slot);
  void accept_finish();
  void accept_release();
  void deliver(Slot& slot, Bytes message, std::uint32_t cost);
  void deliver_end(Slot& slot);
  void end(Status status);
  void dispose_if_done();
  void end_write(Slot* slot, const Status& status);

  const CoreHandle core_;
  const std::uint64_t id_;
  const std::string target_;
  std::uint8_t qos_;
  protocol::Duration time_limit_;
  protocol::Instant deadline_{};
  std::unique_ptr<CallExtras> extras_;
  std::vector<std::stop_token> stops_;
  std::vector<std::unique_ptr<std::stop_callback<StreamStop>>> stop_callbacks_;
  // Of any thread.
  std::atomic<std::size_t> backlog_{0};  // Bytes handed in and not yet inside the credit.
  std::atomic<bool> gone_{false};        // Writing is pointless.
  // Of the loop.
  transport::Timer timer_ = transport::Timer::calling<&StreamCore::on_deadline>(this);
  Link* link_ = nullptr;
  std::uint32_t stream_ = 0;
  bool local_ended_ = false;  // finish() was called.
  bool end_sent_ = false;     // END has left.
  bool remote_ended_ = false;
  bool over_ = false;
  bool bound_ = false;     // The session knows it.
  bool released_ = false;  // The user's handle is gone.
  bool assembling_ = false;
  Status status_;  // How it ended, once remote_ended_ or over_.
  std::deque<Write> unsent_;
  std::deque<Sent> waiting_;  // With the session, behind missing credit.
  std::deque<Received> inbox_;
  std::string assembly_;
  Slot* reader_ = nullptr;
};

class Streams {
 public:
  explicit Streams(Core& core) : core_(core) {}

  // Any thread.
  [[nodiscard]] StreamHandle open(Target target, const CallOptions& options);

  // All below on the loop.
  void add(StreamCore& stream) { streams_.emplace(stream.id(), &stream); }
  void remove(const StreamCore& stream) { streams_.erase(stream.id()); }
  void cancel(std::uint64_t id);
  // Lets every stream go on, after a new connection or new room in it.
  void advance();
  // Ends all streams as cancelled.
  void end_all();
  // Streams that are not over.
  [[nodiscard]] std::size_t open_count() const { return streams_.size(); }

 private:
  Core& core_;
  std::atomic<std::uint64_t> ids_{0};
  std::unordered_map<std::uint64_t, StreamCore*> streams_;  // Those that are not over.
};

}  // namespace valkyrie::detail
