// The serving side of a client: registrations and calls of the node. Private to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/messages/registry.h"
#include "sdk/cpp/src/handler_pool.h"
#include "sdk/cpp/src/incoming.h"
#include "sdk/cpp/src/slot.h"
#include "sdk/cpp/src/stream_user.h"
#include "transport/timer_wheel.h"
#include "valkyrie/client.h"
#include "valkyrie/service.h"

namespace valkyrie {

namespace detail {

struct ServedMethod {
  std::string full_name;  // "service/method"
  MethodOptions options;
  std::unique_ptr<Handler> handler;
};

}  // namespace detail

struct Service::Definition {
  std::string name;
  ServiceOptions options;
  std::map<std::string, detail::ServedMethod, std::less<>> methods;
  detail::ServedMethod health;  // Of messages::kHealthMethod, which is not declared.
};

namespace detail {

// A service that this client offers, and its stream to the registry.
class Registration final : public StreamUser, public SlotOwner {
 public:
  Registration(CoreHandle core, std::unique_ptr<Service::Definition> definition);

  // Any thread.
  [[nodiscard]] std::string instance_name() const;
  [[nodiscard]] static Slot& drain(const std::shared_ptr<Registration>& self, Duration grace);
  static void report_health(const std::shared_ptr<Registration>& self, bool healthy);
  [[nodiscard]] Core& core() { return *core_; }
  [[nodiscard]] const Service::Definition& definition() const { return *definition_; }

  // All below on the loop.
  void begin(Slot* slot);
  // Registers on the connection in use; again after a reconnect.
  void enroll();
  void begin_drain(Slot* slot, Duration grace);
  void call_begins() { ++in_flight_; }
  void call_ends();
  // A stream is over and its handler is not.
  void linger_begins() { ++lingering_; }
  void linger_ends() { --lingering_; }
  // Whether streams that were given up have left as many handlers behind as calls may run: callers
  // that open and reset gain nothing.
  [[nodiscard]] bool overrun() const { return lingering_ >= definition_->options.in_flight_max; }
  // Ends it at once.
  void end(const Status& status);
  [[nodiscard]] bool over() const { return state_ == State::over; }
  // Whether a session will still speak of it.
  [[nodiscard]] bool bound() const { return streams_ > 0; }
  void give_up(Slot& slot, const Status& status) override;

 private:
  enum class State : std::uint8_t { enrolling, active, draining, leaving, over };

  void on_data(Link& link, const protocol::Event& event) override;
  void on_end(Link& link, const protocol::Event& event) override;
  void on_over(Link& link, const protocol::Event& event) override;
  void on_grace_over();
  void set_health(bool healthy);
  void send_update(const messages::InstanceUpdate& update);
  void lost(const Status& status);
  void end_slot(Slot*& slot, const Status& status);
  void leave_if_idle();
  [[nodiscard]] std::string request() const;

  const CoreHandle core_;
  const std::unique_ptr<Service::Definition> definition_;
  mutable std::mutex mutex_;
  std::string instance_;  // Guarded by mutex_.

  State state_ = State::enrolling;
  Link* link_ = nullptr;
  std::uint32_t stream_ = 0;
  bool healthy_ = true;  // As its owner says.
  std::uint32_t failures_ = 0;
  std::uint32_t in_flight_ = 0;
  std::uint32_t lingering_ = 0;
  std::uint32_t streams_ = 0;  // Of which the session has not spoken for the last time.
  Status why_;                 // What the node's END said.
  Slot* serve_slot_ = nullptr;
  Slot* drain_slot_ = nullptr;
  transport::Timer retry_timer_ = transport::Timer::calling<&Registration::enroll>(this);
  transport::Timer grace_timer_ = transport::Timer::calling<&Registration::on_grace_over>(this);
};

// A `call` stream of the node: calls of one caller to one service.
class Serving final : public StreamUser {
 public:
  explicit Serving(std::shared_ptr<Registration> its_registration)
      : registration(std::move(its_registration)) {}

  // On the loop: each call counts, and the stream itself.
  void retain() { ++references_; }
  void release();

  const std::shared_ptr<Registration> registration;  // nullptr: no such service here.
  const ServedMethod* method = nullptr;              // nullptr: each request names its own.
  Identity identity;
  protocol::Duration deadline{};  // Of calls that name none; zero: none.

 private:
  void on_over(Link& link, const protocol::Event& event) override;

  std::uint32_t references_ = 1;
};

class Server {
 public:
  // A request up to this size gives its credit back when its handler begins; a larger one when it
  // is answered, so that few large calls cannot fill the memory.
  static constexpr std::uint32_t kSmallRequest = 16u << 10;

  explicit Server(Core& core);
  ~Server();

  // Any thread.
  [[nodiscard]] Slot& serve(Service service);

  // All below on the loop.
  void on_stream_opened(Link& link, const protocol::Event& event);
  void on_request(Link& link, const protocol::Event& event);
  void on_notify(Link& link, const protocol::Event& event);
  void on_cancel(const protocol::Event& event);
  void on_abandoned(const Link& link, const protocol::Event& event);
  // Runs the handler of a call.
  void run(Incoming& incoming, BytesView payload);
  // A stream is over; `finished` says that its call has its end, else its handler goes on and is
  // told that nobody waits.
  void on_stream_over(Incoming& incoming, bool finished);
  // The handler of a stream that was over has come to its end.
  static void on_late_return(Incoming& incoming);
  void on_link_ready();
  // Sends the answers that had to wait.
  void advance();
  void answer(Incoming& incoming, BytesView body, const Status& status);
  void recycle(Incoming& incoming);
  void drain_all(Duration grace);
  void end_all();
  // Whether nothing is registered and no call unanswered.
  [[nodiscard]] bool idle() const { return active_ == 0 && unanswered_ == 0; }
  // A registration is over.
  void on_registration_over();
  // Forgets registrations that are over and of which no session will speak. At the end of a turn.
  void sweep();
  // The owner's reference to a registration.
  [[nodiscard]] std::shared_ptr<Registration> share(const Registration& registration) const;
  // Whether no blocking handler runs; after end_all() none begins.
  [[nodiscard]] bool pool_quiet() const { return pool_.quiet(); }
  // Lets the threads of blocking handlers end.
  void stop_pool() { pool_.stop(); }
  [[nodiscard]] bool on_pool_thread() const { return pool_.on_thread(); }
  // Calls whose handles are out.
  [[nodiscard]] std::size_t alive() const { return alive_; }

 private:
  struct Unsent {
    Incoming* incoming;  // A reference is held.
    Bytes body;
    Status status;
  };

  [[nodiscard]] static const ServedMethod* find_method(const Registration* registration,
                                                       const protocol::MetadataView& metadata);
  [[nodiscard]] Incoming& acquire(Link& link, const protocol::Event& event, Serving& serving);
  void begin(std::unique_ptr<Service::Definition> definition, Slot& slot);
  [[nodiscard]] std::shared_ptr<Registration> find(std::string_view name) const;
  [[nodiscard]] Status refusal(const Incoming& incoming, const protocol::Event& event) const;
  void begin_stream(Link& link, const protocol::Event& event, Serving& serving);
  void run_on_loop(Incoming& incoming, BytesView payload);
  [[nodiscard]] bool send_answer(Incoming& incoming, BytesView body, const Status& status);
  void cancel(Incoming& incoming);
  void close_call(Incoming& incoming);

  Core& core_;
  HandlerPool pool_;
  std::vector<std::shared_ptr<Registration>> registrations_;
  std::size_t active_ = 0;  // Those that are not over.
  std::deque<Unsent> unsent_;
  Incoming* free_ = nullptr;
  std::size_t alive_ = 0;
  std::size_t unanswered_ = 0;
};

}  // namespace detail

}  // namespace valkyrie
