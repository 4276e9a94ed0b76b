// A client on its loop and what it owns. Private to this folder.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "protocol/buffer_pool.h"
#include "sdk/cpp/src/caller.h"
#include "sdk/cpp/src/credential.h"
#include "sdk/cpp/src/dialer.h"
#include "sdk/cpp/src/event_loop.h"
#include "sdk/cpp/src/link.h"
#include "sdk/cpp/src/publisher.h"
#include "sdk/cpp/src/server.h"
#include "sdk/cpp/src/slot.h"
#include "sdk/cpp/src/streams.h"
#include "sdk/cpp/src/subscriptions.h"
#include "transport/reactor.h"
#include "valkyrie/options.h"
#include "valkyrie/task.h"

namespace valkyrie::detail {

// Threads: the loop runs everything but what is said to be for any thread. Handles of users hold
// tokens, which keep the object alive; only Client ends the loop.
class Core final : public SlotOwner, private transport::EndOfTurn {
 public:
  // Begins on a loop; with a node at hand, or lazily.
  [[nodiscard]] static Result<CoreHandle> connect(const Address& address, ClientOptions options);
  Core(std::shared_ptr<EventLoop> loop, std::vector<Candidate> candidates, ClientOptions options);
  ~Core();

  // Any thread.
  [[nodiscard]] CoreHandle token();
  void release_token() noexcept;
  // False once the client has ended, on its loop too.
  [[nodiscard]] bool on_loop() const { return loop_->turning_here() && !over_; }
  [[nodiscard]] const std::shared_ptr<EventLoop>& loop() const { return loop_; }
  // Runs `task` on the loop, soon. False: the client has ended, and the task never runs.
  bool post(transport::Task task);
  // The present, of the turn on the loop.
  [[nodiscard]] protocol::Instant now() const;
  void close(Duration grace);
  [[nodiscard]] std::string node_url() const;
  [[nodiscard]] const ClientOptions& options() const { return options_; }
  // The channel to one of the client's addresses; nullptr where it needs none.
  [[nodiscard]] std::unique_ptr<protocol::Channel> channel_to(const transport::Address& address);
  [[nodiscard]] Slot& acquire(SlotOwner& owner);
  // Ends a slot, acquired on this thread, whose work cannot begin since the loop has ended.
  void end_unbegun(Slot& slot);
  [[nodiscard]] Slot& flush();
  void spawn(Task<Result<void>> task);
  // Ends a notify at its sender: what is known of it by now.
  [[nodiscard]] Result<void> end_notify(Slot& slot);
  // Destroys a call whose last handle was dropped when the loop took nothing more.
  void bury(Incoming& incoming);

  // Of slots, see pending.h. Any thread.
  void attach(Slot& slot);
  void drop(Slot& slot);
  void cancel(Slot& slot);
  void assert_may_wait() const;

  // All below on the loop.
  [[nodiscard]] transport::Reactor& reactor() { return loop_->reactor(); }
  [[nodiscard]] protocol::BufferPool& buffers() { return buffers_; }
  [[nodiscard]] Caller& caller() { return caller_; }
  [[nodiscard]] Server& server() { return server_; }
  [[nodiscard]] Streams& streams() { return streams_; }
  [[nodiscard]] Publisher& publisher() { return publisher_; }
  [[nodiscard]] Subscriptions& subscriptions() { return subscriptions_; }
  // The connection to send on; nullptr while there is none.
  [[nodiscard]] Link* link() { return link_; }
  [[nodiscard]] bool closing() const { return closing_; }
  [[nodiscard]] std::uint64_t new_link_number() { return ++link_numbers_; }
  // nullptr: it is gone.
  [[nodiscard]] Link* find_link(std::uint64_t number) const;
  // Whether the grace is over: what is left ends as cancelled.
  [[nodiscard]] bool ending() const { return ending_; }
  // Ends a slot: runs its closure or keeps the end for it.
  void finish(Slot& slot, Delivery& delivery);
  void finish(Slot& slot, Status status);
  // The same, but no closure runs before the end of the turn.
  void finish_later(Slot& slot, Delivery delivery);
  void finish_later(Slot& slot, Status status);
  // The session has spoken of a slot for the last time.
  void settle(Slot& slot);
  // Calls Core at the end of the turn.
  void at_end_of_turn() { reactor().at_end_of_turn(*this); }
  void log(std::string_view line) const;
  // Uniform in [0, 1).
  [[nodiscard]] double random();
  // See EventLoop.
  void set_handler(const char* name) { loop_->set_handler(name); }

  // What to show the node now.
  [[nodiscard]] Result<std::string> read_credential() const { return credential_.read(); }

  // From links and the dialer.
  void on_link_ready(Link& link);
  void on_link_draining(Link& link);
  void on_link_closed(Link& link, std::string_view why);
  void on_dial_failed(const std::string& why);
  void on_pong(std::uint64_t token);
  // Calls after_turn() once, when this turn and its output are done.
  void ask_after_turn();
  void after_turn();
  void on_request_failed(const protocol::Event& event);
  // The session takes more than before.
  void on_room();
  void check_closing();

  void give_up(Slot& slot, const Status& status) override;

 private:
  struct Flush {
    Slot* slot;
    std::uint64_t token;  // Of the PING under way; 0: none yet.
    Link* link;
  };

  void on_end_of_turn() override;
  void begin();
  void begin_close(Duration grace);
  void end_now();
  void close_gate();
  void finish_client();
  void begin_flush(Slot& slot);
  [[nodiscard]] bool idle() const;
  void advance_flushes();
  void deliver(Slot& slot, Delivery& delivery);
  void deliver_ready();
  void deliver_here(Slot& slot);
  void release(Slot& slot);
  void release_elsewhere(Slot& slot);
  [[nodiscard]] Result<void> await_first_link();
  void redial();
  void know_first(const std::string& error);

  // One of the loop, one of each handle, after the end one of each slot and call still out.
  std::atomic<std::size_t> tokens_{1};
  const ClientOptions options_;
  const std::shared_ptr<EventLoop> loop_;
  protocol::BufferPool buffers_;
  SlotSlab slab_;
  Caller caller_;
  Streams streams_;
  Publisher publisher_;
  Subscriptions subscriptions_;
  Server server_;
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<std::unique_ptr<Link>> graveyard_;
  std::uint64_t link_numbers_ = 0;
  Link* link_ = nullptr;
  std::unique_ptr<NoiseKey> noise_key_;                // Where an address needs it.
  std::unique_ptr<protocol::tls::Dialer> tls_dialer_;  // The same.
  Credential credential_;
  Dialer dialer_;
  transport::Timer redial_timer_ = transport::Timer::calling<&Core::redial>(this);
  transport::Timer grace_timer_ = transport::Timer::calling<&Core::end_now>(this);
  std::uint32_t dial_failures_ = 0;
  SlotList ready_;  // Finished and attached: to be delivered at the end of the turn.
  std::vector<Flush> flushes_;
  std::uint64_t flush_tokens_ = 0;
  Slot* farewell_ = nullptr;  // The flush before the end, while it is under way.
  bool closing_ = false;
  bool ending_ = false;  // end_now() has run.
  bool was_ready_ = false;
  bool closing_check_posted_ = false;
  bool after_turn_asked_ = false;
  bool closing_gate_ = false;
  bool past_gate_ = false;  // Nothing is posted any more, and what was has run.
  bool over_ = false;       // As ended_, for the loop.
  std::uint64_t random_state_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool accepting_ = true;     // Guarded by mutex_, as all below: posts are taken.
  bool ended_ = false;        // Nothing of this client runs any more.
  bool first_known_ = false;  // The first dial has succeeded or failed.
  std::string first_error_;   // Why it failed.
  std::string node_url_;
  std::thread thread_;  // Of a loop of its own.
};

}  // namespace valkyrie::detail
