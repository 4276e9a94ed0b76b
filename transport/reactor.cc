#include "transport/reactor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::transport {
namespace {

// More ready descriptors than this wait for the next turn: it bounds how long a turn keeps output
// back, and the kernel rotates its ready list.
constexpr std::size_t kEventsPerTurn = 256;
// An object that is dirty again after so many rounds of one turn waits for the next.
constexpr int kFlushRoundsMax = 8;
// Descriptors without critical traffic that a turn serves while there is some.
constexpr std::size_t kCalmEventsPerTurn = 2;
constexpr std::uint64_t kWakeCookie = ~std::uint64_t{0};

std::uint64_t cookie_of(int fd, std::uint32_t generation) {
  return std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(fd);
}

std::size_t fd_of(const epoll_event& event) {
  return static_cast<std::size_t>(event.data.u64 & 0xffff'ffff);
}

std::uint32_t epoll_mask(Interest interest) {
  switch (interest) {
    case Interest::none:
      return 0;
    case Interest::read:
      return EPOLLIN | EPOLLRDHUP;
    case Interest::write:
      return EPOLLOUT;
    case Interest::read_write:
      return EPOLLIN | EPOLLRDHUP | EPOLLOUT;
    case Interest::read_exclusive:
      return EPOLLIN | EPOLLEXCLUSIVE;
  }
  return 0;
}

std::error_code last_error() { return {errno, std::generic_category()}; }

// Rounded up, so that a turn that waited for a timer finds it due.
int epoll_timeout(protocol::Duration wait) {
  if (wait < protocol::Duration::zero()) return -1;
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
  return static_cast<int>(std::min<std::int64_t>(milliseconds, 3'600'000));
}

}  // namespace

EndOfTurn::~EndOfTurn() { unlink(); }

void EndOfTurn::push(EndOfTurn*& head, EndOfTurn& object) {
  object.next_ = head;
  object.link_ = &head;
  if (head != nullptr) head->link_ = &object.next_;
  head = &object;
}

void EndOfTurn::unlink() {
  if (link_ == nullptr) return;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  next_ = nullptr;
  link_ = nullptr;
}

std::expected<std::unique_ptr<Reactor>, std::error_code> Reactor::create(
    Clock clock, std::shared_ptr<SkippedTime> skipped) {
  Socket epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return std::unexpected(last_error());
  Socket event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return std::unexpected(last_error());
  epoll_event watch{.events = EPOLLIN | EPOLLET, .data = {.u64 = kWakeCookie}};
  if (::epoll_ctl(epoll.fd(), EPOLL_CTL_ADD, event.fd(), &watch) != 0) {
    return std::unexpected(last_error());
  }
  return std::unique_ptr<Reactor>(
      new Reactor(clock, std::move(skipped), std::move(epoll), std::move(event)));
}

Reactor::Reactor(Clock clock, std::shared_ptr<SkippedTime> skipped, Socket epoll, Socket event)
    : clock_(clock),
      skipped_(std::move(skipped)),
      epoll_(std::move(epoll)),
      event_(std::move(event)),
      now_(clock_now()),
      timers_(now_),
      slab_(std::make_unique_for_overwrite<std::byte[]>(kReceiveSlabBytes)) {
  if (skipped_ != nullptr) skipped_->attach(*this);
}

void Reactor::leave_skipped_time() {
  if (skipped_ != nullptr) skipped_->detach(*this);
}

Reactor::~Reactor() {
  leave_skipped_time();
  while (dirty_ != nullptr) dirty_->unlink();
}

void Reactor::run() {
  while (!stopped()) turn(protocol::Duration{-1});
}

void Reactor::stop() {
  stopped_.store(true, std::memory_order_release);
  wake();
}

void Reactor::post(Task task) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(task));
    posted_any_.store(true, std::memory_order_release);
  }
  wake();
}

// Both sides use a read-modify-write of `sleeping_`. If this one comes second, it sees the sleeper
// and writes; if it comes first, the reactor's own exchange reads from it, and so the check for
// work that follows sees what was published before this call.
void Reactor::wake() {
  if (!sleeping_.exchange(false, std::memory_order_acq_rel)) return;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(event_.fd(), &one, sizeof one));
}

bool Reactor::work_waiting() const {
  return dirty_ != nullptr || !deferred_.empty() || stopped() ||
         posted_any_.load(std::memory_order_acquire) ||
         std::ranges::any_of(inboxes_, [](const Inbox* inbox) { return inbox->pending(); });
}

protocol::Duration Reactor::prepare_wait() {
  static_cast<void>(sleeping_.exchange(true, std::memory_order_acq_rel));
  if (work_waiting()) return protocol::Duration::zero();
  const auto expiry = timers_.next_expiry();
  if (!expiry) return protocol::Duration{-1};
  return std::max(*expiry - clock_now(), protocol::Duration::zero());
}

void Reactor::turn(protocol::Duration max_wait) {
  auto wait = protocol::Duration::zero();
  if (max_wait != protocol::Duration::zero()) {
    wait = prepare_wait();
    const bool bounded = max_wait > protocol::Duration::zero();
    if (wait < protocol::Duration::zero() || (bounded && max_wait < wait)) wait = max_wait;
  }
  std::array<epoll_event, kEventsPerTurn> events;  // Filled by the kernel.
  const int count = ::epoll_wait(epoll_.fd(), events.data(), static_cast<int>(events.size()),
                                 epoll_timeout(wait));
  sleeping_.store(false, std::memory_order_relaxed);
  VALKYRIE_ASSERT(count >= 0 || errno == EINTR);
  now_ = clock_now();
  run_posted();
  for (std::size_t i = 0; i < inboxes_.size(); ++i) inboxes_[i]->drain();
  dispatch(std::span(events).first(static_cast<std::size_t>(std::max(count, 0))));
  timers_.advance(now_);
  run_end_of_turn();
}

void Reactor::dispatch(std::span<const epoll_event> events) {
  if (critical() || !deferred_.empty()) return dispatch_by_urgency(events);
  for (const epoll_event& event : events) serve(event);
}

// Urgent descriptors are served in the turn in which they are ready, the others after them and
// in the order in which they became ready, a few each turn: so none of them is left out, and the
// urgent ones are looked at again soon.
void Reactor::dispatch_by_urgency(std::span<const epoll_event> events) {
  for (const epoll_event& event : events) {
    if (event.data.u64 == kWakeCookie) continue;
    Watch& watch = watches_[fd_of(event)];
    if (watch.urgent) {
      serve(event);
    } else if (!watch.deferred) {
      watch.deferred = true;
      deferred_.push_back(event);
    }
  }
  for (std::size_t served = 0; !deferred_.empty(); ++served) {
    if (critical() && served == kCalmEventsPerTurn) return;
    const epoll_event event = deferred_.front();
    deferred_.pop_front();
    watches_[fd_of(event)].deferred = false;
    serve(event);
  }
}

void Reactor::serve(const epoll_event& event) {
  if (event.data.u64 == kWakeCookie) return;
  const auto generation = static_cast<std::uint32_t>(event.data.u64 >> 32);
  const Watch& watch = watches_[fd_of(event)];
  if (watch.handler == nullptr || watch.generation != generation) return;
  watch.handler->on_ready(Ready{.readable = (event.events & EPOLLIN) != 0,
                                .writable = (event.events & EPOLLOUT) != 0,
                                .hang_up = (event.events & (EPOLLRDHUP | EPOLLHUP)) != 0,
                                .error = (event.events & EPOLLERR) != 0});
}

void Reactor::run_posted() {
  if (!posted_any_.load(std::memory_order_acquire)) return;
  {
    const std::lock_guard lock(posted_mutex_);
    running_.swap(posted_);
    posted_any_.store(false, std::memory_order_relaxed);
  }
  for (Task& task : running_) {
    task();
    task = Task{};  // What the closure held is free before the next one runs.
  }
  running_.clear();
}

void Reactor::run_end_of_turn() {
  for (int round = 0; round < kFlushRoundsMax && dirty_ != nullptr; ++round) {
    flushing_ = std::exchange(dirty_, nullptr);
    flushing_->link_ = &flushing_;
    while (flushing_ != nullptr) {
      EndOfTurn& object = *flushing_;
      object.unlink();
      object.on_end_of_turn();
    }
  }
}

std::expected<void, std::error_code> Reactor::add(int fd, ReadinessHandler& handler,
                                                  Interest interest) {
  VALKYRIE_ASSERT(fd >= 0);
  const auto index = static_cast<std::size_t>(fd);
  if (index >= watches_.size()) watches_.resize(std::max(index + 1, watches_.size() * 2));
  Watch& watch = watches_[index];
  VALKYRIE_ASSERT(watch.handler == nullptr);
  epoll_event event{.events = epoll_mask(interest),
                    .data = {.u64 = cookie_of(fd, watch.generation)}};
  if (::epoll_ctl(epoll_.fd(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return std::unexpected(last_error());
  }
  watch.handler = &handler;
  return {};
}

void Reactor::modify(int fd, Interest interest) {
  const Watch& watch = watches_[static_cast<std::size_t>(fd)];
  VALKYRIE_ASSERT(watch.handler != nullptr);
  epoll_event event{.events = epoll_mask(interest),
                    .data = {.u64 = cookie_of(fd, watch.generation)}};
  const int result = ::epoll_ctl(epoll_.fd(), EPOLL_CTL_MOD, fd, &event);
  VALKYRIE_ASSERT(result == 0);
}

void Reactor::remove(int fd) {
  Watch& watch = watches_[static_cast<std::size_t>(fd)];
  VALKYRIE_ASSERT(watch.handler != nullptr);
  watch.handler = nullptr;
  watch.urgent = false;
  ++watch.generation;
  const int result = ::epoll_ctl(epoll_.fd(), EPOLL_CTL_DEL, fd, nullptr);
  VALKYRIE_ASSERT(result == 0);
}

void Reactor::at_end_of_turn(EndOfTurn& object) {
  if (object.link_ == nullptr) EndOfTurn::push(dirty_, object);
}

void Reactor::add_inbox(Inbox& inbox) { inboxes_.push_back(&inbox); }

void Reactor::remove_inbox(Inbox& inbox) { std::erase(inboxes_, &inbox); }

}  // namespace valkyrie::transport
