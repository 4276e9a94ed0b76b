// The event loop of one shard.
//
// One turn: wait for readiness; run what other threads posted and drain the inboxes; handle ready
// descriptors; fire timers; flush what the turn has made dirty. Output is written once per
// destination and turn because everything that has bytes to send only marks itself dirty.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <mutex>
#include <span>
#include <sys/epoll.h>
#include <system_error>
#include <vector>

#include "protocol/constants.h"
#include "protocol/time.h"
#include "transport/clock.h"
#include "transport/skipped_time.h"
#include "transport/slab_pool.h"
#include "transport/socket.h"
#include "transport/task.h"
#include "transport/timer_wheel.h"

namespace valkyrie::transport {

// What a registered descriptor is watched for. Hang-up and errors are always reported.
enum class Interest : std::uint8_t {
  none,
  read,
  write,
  read_write,
  // Read, waking only some of the shards that watch the same listener. Cannot be changed to
  // another interest: remove() and add() again.
  read_exclusive,
};

// What the kernel says of a descriptor. Level-triggered: it comes again until it is dealt with.
struct Ready {
  bool readable = false;
  bool writable = false;
  bool hang_up = false;  // The peer has closed its direction or both.
  bool error = false;    // read(2) or SO_ERROR tells which.
};

// Handles the readiness of one registered descriptor.
class ReadinessHandler {
 public:
  // On the reactor's thread. The handler may remove or destroy itself or any other handler.
  virtual void on_ready(Ready ready) = 0;

 protected:
  ~ReadinessHandler() = default;
};

class Reactor;

// An object with work for the end of the turn, usually output to flush. Leaves the list when it is
// destroyed.
class EndOfTurn {
 public:
  EndOfTurn() = default;
  EndOfTurn(const EndOfTurn&) = delete;
  EndOfTurn& operator=(const EndOfTurn&) = delete;

  // On the reactor's thread, once for all at_end_of_turn() calls since the last time. The object
  // may destroy itself or others, and may ask again: it is then called again before the reactor
  // sleeps.
  virtual void on_end_of_turn() = 0;

 protected:
  virtual ~EndOfTurn();
  // Whether on_end_of_turn() is still to come.
  [[nodiscard]] bool queued() const { return link_ != nullptr; }

 private:
  friend class Reactor;

  static void push(EndOfTurn*& head, EndOfTurn& object);
  void unlink();

  EndOfTurn* next_ = nullptr;
  EndOfTurn** link_ = nullptr;  // What points at this object; nullptr while it is in no list.
};

// Work that other threads leave for the reactor without a lock, such as the rings between shards.
// A producer publishes its work and then calls Reactor::wake().
class Inbox {
 public:
  // On the reactor's thread: whether drain() would find work.
  [[nodiscard]] virtual bool pending() const = 0;
  // On the reactor's thread, at the start of each turn.
  virtual void drain() = 0;

 protected:
  ~Inbox() = default;
};

// One thread owns a reactor and calls everything but post(), wake() and stop(), which any thread
// may call. Everything registered must be removed or destroyed before the reactor.
class Reactor {
 public:
  // Bytes. What one read(2) can bring; shared by all connections of the shard.
  static constexpr std::size_t kReceiveSlabBytes = 256u << 10;
  // What one write can gather.
  static constexpr std::size_t kWritePiecesMax = 64;

  // Fails when the process or the system is out of descriptors or memory. With `skipped` the
  // reactor goes by `clock` and what is skipped on top.
  [[nodiscard]] static std::expected<std::unique_ptr<Reactor>, std::error_code> create(
      Clock clock = monotonic_now, std::shared_ptr<SkippedTime> skipped = nullptr);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // Turns until stop(). Returns at once if stop() was called before.
  void run();
  // One turn that waits for work up to `max_wait`; a negative wait has no end.
  void turn(protocol::Duration max_wait);
  // Ends run() after the turn in progress; no later turn waits. Any thread, and signal handlers.
  void stop();
  // Whether stop() was called.
  [[nodiscard]] bool stopped() const { return stopped_.load(std::memory_order_acquire); }

  // Runs `task` on the reactor's thread in its next turn, in the order of the posts of one thread.
  // Tasks left when the reactor is destroyed are destroyed unrun. Any thread.
  void post(Task task);
  // Makes sure that a turn begins after this call, which sees all that the caller published
  // before. Costs no system call unless the reactor sleeps. Any thread.
  void wake();

  // For driving the reactor by a foreign loop: poll fd() for reading for at most prepare_wait(),
  // then call turn({}).
  [[nodiscard]] int fd() const { return epoll_.fd(); }
  // How long a foreign loop may sleep: zero when work waits, negative when only fd() can bring
  // some. Until the next turn, post() and wake() make fd() readable.
  [[nodiscard]] protocol::Duration prepare_wait();

  // Watches `fd` until remove(). Neither is owned. Errors: out of memory or of watches.
  // REQUIRES: `fd` is open and not watched yet.
  [[nodiscard]] std::expected<void, std::error_code> add(int fd, ReadinessHandler& handler,
                                                         Interest interest);
  // Changes what a watched descriptor is watched for.
  void modify(int fd, Interest interest);
  // Stops watching; no event of this or a later turn reaches the handler. Call it before close(2).
  void remove(int fd);

  // Calls `object.on_end_of_turn()` once before the reactor sleeps again.
  void at_end_of_turn(EndOfTurn& object);
  // Drains `inbox` at the start of each turn until it is removed.
  void add_inbox(Inbox& inbox);
  void remove_inbox(Inbox& inbox);

  // A connection carries critical frames: for kCriticalTime from now on, turns are short.
  void note_critical() { critical_until_ = now_ + protocol::kCriticalTime; }
  // Whether turns are to be short: read and write little at once for each connection. Handlers
  // that are urgent are served first, and few of the others each turn, in the order in which they
  // became ready.
  [[nodiscard]] bool critical() const { return now_ < critical_until_; }
  // Says whether a watched descriptor is to be served before others.
  void set_urgent(int fd, bool urgent) { watches_[static_cast<std::size_t>(fd)].urgent = urgent; }

  // The shard's timers.
  [[nodiscard]] TimerWheel& timers() { return timers_; }
  // The time at which this turn began to work. REQUIRES: the reactor's thread.
  [[nodiscard]] protocol::Instant now() const { return now_; }
  // What its clock says in this moment. Any thread.
  [[nodiscard]] protocol::Instant clock_now() const {
    return skipped_ == nullptr ? clock_() : clock_() + skipped_->total();
  }
  // Nobody turns it any more: SkippedTime::settle() is not to wait for it. REQUIRES: the reactor's
  // thread, which makes one more turn.
  void leave_skipped_time();
  // Memory to read into, overwritten by the next handler that reads: no idle connection owns a
  // buffer.
  [[nodiscard]] std::span<std::byte> receive_slab() { return {slab_.get(), kReceiveSlabBytes}; }
  // Room to gather output in, overwritten by the next that writes: clearing an array of their own
  // would cost writers more than most of what they gather.
  [[nodiscard]] std::span<std::span<const std::byte>> write_pieces() { return pieces_; }
  // Memory for bulk, which its readers may keep.
  [[nodiscard]] SlabPool& bulk_slabs() { return bulk_slabs_; }

 private:
  struct Watch {
    ReadinessHandler* handler = nullptr;
    // Part of the epoll cookie: an event that was reported for an earlier user of the same
    // descriptor number carries an old generation and is dropped.
    std::uint32_t generation = 0;
    bool urgent = false;
    bool deferred = false;  // In deferred_.
  };

  Reactor(Clock clock, std::shared_ptr<SkippedTime> skipped, Socket epoll, Socket event);

  [[nodiscard]] bool work_waiting() const;
  void dispatch(std::span<const epoll_event> events);
  void dispatch_by_urgency(std::span<const epoll_event> events);
  void serve(const epoll_event& event);
  void run_posted();
  void run_end_of_turn();

  const Clock clock_;
  const std::shared_ptr<SkippedTime> skipped_;
  Socket epoll_;
  Socket event_;  // eventfd, edge-triggered: it is never read, each write is an edge.
  protocol::Instant now_;
  TimerWheel timers_;
  protocol::Instant critical_until_ = protocol::Instant::min();
  std::vector<Watch> watches_;        // By descriptor.
  std::deque<epoll_event> deferred_;  // Ready, and not served yet.
  std::vector<Inbox*> inboxes_;
  EndOfTurn* dirty_ = nullptr;
  EndOfTurn* flushing_ = nullptr;  // Of the round in progress.
  std::unique_ptr<std::byte[]> slab_;
  std::array<std::span<const std::byte>, kWritePiecesMax> pieces_;
  SlabPool bulk_slabs_;
  std::vector<Task> running_;

  // Set before the reactor sleeps; whoever clears it owes the write to event_.
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> posted_any_{false};
  std::mutex posted_mutex_;
  std::vector<Task> posted_;  // Guarded by posted_mutex_.
};

}  // namespace valkyrie::transport
