#include "sdk/cpp/src/core.h"

#include <algorithm>
#include <cstdio>
#include <fmt/core.h>
#include <random>
#include <utility>

#include "sdk/cpp/src/signals.h"
#include "transport/clock.h"

namespace valkyrie::detail {
namespace {

// A connection that lived shorter counts as a failure for the backoff.
constexpr protocol::Duration kStable = std::chrono::seconds{1};
constexpr std::uint32_t kFailuresCounted = 16;

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device() | 1;
}

}  // namespace

Core::Core(std::shared_ptr<EventLoop> loop, std::vector<Candidate> addresses, ClientOptions options)
    : options_(std::move(options)),
      loop_(std::move(loop)),
      slab_(*this),
      caller_(*this),
      streams_(*this),
      publisher_(*this),
      subscriptions_(*this),
      server_(*this),
      dialer_(*this, std::move(addresses)),
      random_state_(random_seed()) {}

Core::~Core() {
  // The last token may be the loop's own.
  if (thread_.joinable()) thread_.detach();
}

CoreHandle Core::token() {
  tokens_.fetch_add(1, std::memory_order_relaxed);
  return CoreHandle(this);
}

void Core::release_token() noexcept {
  if (tokens_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void CoreRelease::operator()(Core* core) const noexcept { core->release_token(); }

std::unique_ptr<protocol::Channel> Core::channel_to(const transport::Address& address) {
  if (address.noise) return noise_key_->dial(address.key);
  return address.tls ? tls_dialer_->dial(address.host) : nullptr;
}

Result<CoreHandle> Core::connect(const Address& address, ClientOptions options) {
  auto addresses = candidates(address);
  if (!addresses) return std::unexpected(std::move(addresses.error()));
  auto noise_key = noise_key_for(*addresses, options);
  if (!noise_key) return std::unexpected(std::move(noise_key.error()));
  Credential credential(options);
  if (auto usable = credential.check(); !usable) return std::unexpected(std::move(usable.error()));
  auto tls_dialer = tls_dialer_for(*addresses, options);
  if (!tls_dialer) return std::unexpected(std::move(tls_dialer.error()));
  const bool lazy = options.lazy;
  const bool own = options.loop == nullptr;
  std::shared_ptr<EventLoop> loop;
  if (own) {
    auto created = EventLoop::create({}, options.skipped_time);
    if (!created) return std::unexpected(std::move(created.error()));
    loop = std::move(*created);
  } else {
    loop = std::exchange(options.loop, nullptr)->state();
  }
  if (!lazy && loop->turning_here()) {
    return fail(StatusCode::failed_precondition,
                "connect() on the loop would wait for ever: set ClientOptions::lazy",
                Outcome::not_executed);
  }
  CoreHandle core(new Core(loop, std::move(*addresses), std::move(options)));
  core->noise_key_ = std::move(*noise_key);
  core->credential_ = std::move(credential);
  core->tls_dialer_ = std::move(*tls_dialer);
  loop->reactor().post([raw = core->token().release()] { raw->begin(); });
  if (own) {
    const BlockedSignals blocked;
    core->thread_ = std::thread([loop] { loop->run_until_empty(); });
  }
  if (lazy) return core;
  if (auto ready = core->await_first_link(); !ready) {
    core->close(Duration::zero());
    return std::unexpected(std::move(ready.error()));
  }
  return core;
}

Result<void> Core::await_first_link() {
  std::unique_lock lock(mutex_);
  const bool known = loop_->block_until(
      lock, changed_, [this] { return first_known_; },
      transport::monotonic_now() + options_.connect_timeout);
  if (known && first_error_.empty()) return {};
  const std::string tried = known ? first_error_ : dialer_.described() + " (no answer in time)";
  return fail(StatusCode::unavailable,
              fmt::format("no node at {}; start valkyrie-server or set VALKYRIE_NODE", tried),
              Outcome::not_executed);
}

void Core::know_first(const std::string& error) {
  const std::lock_guard lock(mutex_);
  if (first_known_) return;
  first_known_ = true;
  first_error_ = error;
  changed_.notify_all();
}

void Core::begin() {
  loop_->add(*this);
  dialer_.dial();
}

void Core::on_end_of_turn() {
  deliver_ready();
  if (caller_.end_of_turn()) at_end_of_turn();
  server_.sweep();
  graveyard_.clear();
  dialer_.clean();
}

void Core::ask_after_turn() {
  if (!std::exchange(after_turn_asked_, true)) loop_->after_turn(*this);
}

void Core::after_turn() {
  after_turn_asked_ = false;
  advance_flushes();
  // A blocking handler may still wait for what only this loop can end.
  if (!ending_ || !links_.empty() || !server_.pool_quiet()) return;
  if (!std::exchange(closing_gate_, true)) return close_gate();
  if (!past_gate_) return;
  if (queued()) return ask_after_turn();
  finish_client();
}

// What is posted until the gate closes still runs, and ends at once since the core is closing. The
// one task that passes it runs after them.
void Core::close_gate() {
  server_.stop_pool();
  const std::lock_guard lock(mutex_);
  accepting_ = false;
  reactor().post([this] {
    past_gate_ = true;
    ask_after_turn();
  });
}

void Core::finish_client() {
  over_ = true;
  loop_->remove(*this);
  {
    const std::lock_guard lock(mutex_);
    tokens_.fetch_add(slab_.live() + server_.alive(), std::memory_order_relaxed);
    ended_ = true;
    changed_.notify_all();
  }
  release_token();
}

void Core::bury(Incoming& incoming) {
  {
    // The client's last turn is short, and until it is over the rest is the loop's.
    std::unique_lock lock(mutex_);
    loop_->block_until(lock, changed_, [this] { return ended_; });
    incoming.serving->release();
    delete &incoming;
  }
  release_token();
}

bool Core::post(transport::Task task) {
  const std::lock_guard lock(mutex_);
  if (!accepting_) return false;
  reactor().post(std::move(task));
  return true;
}

protocol::Instant Core::now() const {
  return on_loop() ? loop_->reactor().now() : loop_->reactor().clock_now();
}

void Core::log(std::string_view line) const {
  if (options_.log) return options_.log(line);
  std::fprintf(stderr, "valkyrie: %.*s\n", static_cast<int>(line.size()), line.data());
}

double Core::random() {
  if (options_.random) return options_.random();
  // xorshift64*: jitter needs spread, not secrecy.
  random_state_ ^= random_state_ >> 12;
  random_state_ ^= random_state_ << 25;
  random_state_ ^= random_state_ >> 27;
  return static_cast<double>((random_state_ * 0x2545F4914F6CDD1Dull) >> 11) * 0x1.0p-53;
}

void Core::spawn(Task<Result<void>> task) {
  post([this, task = std::move(task)]() mutable {
    std::move(task).start(
        [](void* core, Result<void>&& result) noexcept {
          if (result) return;
          static_cast<Core*>(core)->log("a spawned task failed: " + result.error().to_string());
        },
        this);
  });
}

void Core::on_link_ready(Link& link) {
  if (auto taken = dialer_.take(link)) links_.push_back(std::move(taken));
  if (ending_) return link.session().close(protocol::CloseCode::none);
  link_ = &link;
  {
    const std::lock_guard lock(mutex_);
    node_url_ = link.url();
  }
  if (was_ready_) log(fmt::format("connected to {} again", link.url()));
  was_ready_ = true;
  know_first({});
  server_.on_link_ready();
  publisher_.on_link_ready(link);
  on_room();
}

Link* Core::find_link(std::uint64_t number) const {
  const auto found =
      std::ranges::find(links_, number, [](const auto& one) { return one->number(); });
  return found == links_.end() ? nullptr : found->get();
}

void Core::on_room() {
  caller_.pump();
  publisher_.pump();
  streams_.advance();
  subscriptions_.advance();
  server_.advance();
}

void Core::on_link_draining(Link& link) {
  caller_.leave(link);
  publisher_.leave(link);
  subscriptions_.leave(link);
  if (link_ != &link) return;
  link_ = nullptr;
  log(fmt::format("the node at {} is leaving", link.url()));
  redial();
}

void Core::on_link_closed(Link& link, std::string_view why) {
  if (dialer_.on_greeting_failed(link, why)) return;
  const auto found =
      std::ranges::find_if(links_, [&link](const auto& one) { return one.get() == &link; });
  if (found == links_.end()) return;
  const bool stable = now() - link.ready_at() >= kStable;
  graveyard_.push_back(std::move(*found));
  links_.erase(found);
  at_end_of_turn();
  if (ending_) ask_after_turn();
  if (stable) dial_failures_ = 0;
  // The next connection may get this one's memory, and its own PING is needed.
  for (Flush& flush : flushes_) {
    if (flush.link == &link) flush.link = nullptr;
  }
  if (link_ != &link) return;
  link_ = nullptr;
  {
    const std::lock_guard lock(mutex_);
    node_url_.clear();
  }
  if (ending_) return;
  if (closing_) check_closing();
  log(fmt::format("lost the connection to {}: {}", link.url(), why));
  if (stable) return redial();
  on_dial_failed(fmt::format("{} ({})", link.url(), why));
}

void Core::redial() {
  if (!dialer_.dialing() && link_ == nullptr && !ending_) dialer_.dial();
}

// Full jitter: anything up to a bound that doubles, so that clients of a node that fell do not come
// back in step.
void Core::on_dial_failed(const std::string& why) {
  know_first(why);
  if (ending_) return;
  const std::uint32_t doublings = std::min(dial_failures_, kFailuresCounted);
  dial_failures_ = std::min(dial_failures_ + 1, kFailuresCounted);
  const Duration bound =
      std::min(options_.backoff_max, options_.backoff_min * (std::int64_t{1} << doublings));
  const auto pause = static_cast<std::int64_t>(static_cast<double>(bound.count()) * random());
  reactor().timers().arm(redial_timer_, now() + protocol::Duration{pause});
}

std::string Core::node_url() const {
  const std::lock_guard lock(mutex_);
  return node_url_;
}

Slot& Core::flush() {
  Slot& slot = acquire(*this);
  if (on_loop()) {
    begin_flush(slot);
  } else if (!post([this, &slot] { begin_flush(slot); })) {
    end_unbegun(slot);
  }
  return slot;
}

void Core::begin_flush(Slot& slot) {
  if (closing_) {
    return finish_later(
        slot, Status(StatusCode::cancelled, "the client is closed", Outcome::not_executed));
  }
  flushes_.push_back({.slot = &slot, .token = 0, .link = nullptr});
  ask_after_turn();
}

// After a turn. PING overtakes frames that are in the session, so it goes out when nothing waits
// any more. A connection that changes meanwhile is asked anew.
void Core::advance_flushes() {
  if (flushes_.empty()) return;
  ask_after_turn();
  if (link_ == nullptr) return;
  const Link& link = *link_;
  const bool clear =
      !caller_.waiting() && !publisher_.waiting() && link.session().scheduled_bytes() == 0;
  for (Flush& flush : flushes_) {
    if (flush.link == link_ || !clear) continue;
    flush.link = link_;
    flush.token = ++flush_tokens_;
    link_->session().ping(flush.token);
  }
}

void Core::on_pong(std::uint64_t token) {
  std::erase_if(flushes_, [this, token](const Flush& flush) {
    if (flush.token != token || token == 0) return false;
    if (flush.slot == farewell_) farewell_ = nullptr;
    finish_later(*flush.slot, Status());
    return true;
  });
  if (closing_) check_closing();
}

void Core::on_request_failed(const protocol::Event& event) {
  const auto& slot = *reinterpret_cast<const Slot*>(event.cookie);
  if (slot.owner == &publisher_) return publisher_.on_request_failed(event);
  caller_.on_request_failed(event);
}

void Core::give_up(Slot& slot, const Status& status) {
  std::erase_if(flushes_, [&slot](const Flush& flush) { return flush.slot == &slot; });
  finish_later(slot, status);
}

void Core::close(Duration grace) {
  if (on_loop()) return begin_close(grace);
  post([this, grace] { begin_close(grace); });
  if (server_.on_pool_thread()) return;  // The loop waits for this thread: it cannot wait back.
  std::thread ended;
  {
    std::unique_lock lock(mutex_);
    loop_->block_until(lock, changed_, [this] { return ended_; });
    ended = std::move(thread_);
  }
  if (ended.joinable()) ended.join();
}

void Core::begin_close(Duration grace) {
  if (ending_) return;
  if (!closing_ && publisher_.used() && grace > Duration::zero()) {
    farewell_ = &acquire(*this);
    farewell_->hold.store(Hold::dropped, std::memory_order_relaxed);
    begin_flush(*farewell_);
  }
  closing_ = true;
  server_.drain_all(grace);
  subscriptions_.close();
  reactor().timers().arm(grace_timer_, now() + grace);
  if (grace <= Duration::zero()) return end_now();
  check_closing();
}

void Core::check_closing() {
  if (ending_ || closing_check_posted_) return;
  if (!idle()) return;
  // Not from here: this runs in the middle of something that is ending.
  closing_check_posted_ = true;
  post([this] {
    closing_check_posted_ = false;
    if (idle()) end_now();
  });
}

// Messages without a receipt are done once a flush that came after them is; where there is neither
// a node nor anything that waits for one, none is needed.
bool Core::idle() const {
  const bool published = farewell_ == nullptr || (link_ == nullptr && !publisher_.waiting());
  return caller_.outstanding() == 0 && server_.idle() && streams_.open_count() == 0 &&
         publisher_.outstanding() == 0 && subscriptions_.open_count() == 0 && published;
}

// Everything that is left ends as cancelled. The loop goes on until the connections are closed.
void Core::end_now() {
  if (ending_) return;
  ending_ = true;
  closing_ = true;
  grace_timer_.cancel();
  redial_timer_.cancel();
  dialer_.stop();
  server_.end_all();
  streams_.end_all();
  subscriptions_.end_all();
  publisher_.end_all();
  caller_.end_all();
  for (const Flush& flush : std::exchange(flushes_, {})) {
    finish_later(*flush.slot,
                 Status(StatusCode::cancelled, "the client was closed", Outcome::maybe_executed));
  }
  link_ = nullptr;
  for (const auto& link : links_) link->session().close(protocol::CloseCode::none);
  at_end_of_turn();
  ask_after_turn();
}

}  // namespace valkyrie::detail
