// A node of the tests: real sockets and sessions, a thread of its own, and handles for what a real
// one does only when something goes wrong. Private to this folder.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "protocol/buffer_pool.h"
#include "sdk/cpp/test/fake_subjects.h"
#include "transport/acceptor.h"
#include "transport/connection.h"
#include "transport/listener.h"
#include "transport/reactor.h"

namespace valkyrie::test {

// Routes calls and streams to the services that register, by name, to the instance that came last.
// Itself it offers fake.Node:
//
//   Echo      answers the body                Fail     NOT_FOUND "nothing here", executed
//   Silent    never answers                   Refuse   UNAVAILABLE, not executed
//   RefuseOnce  refuses each first attempt, then answers the body
//   SilentOnce  answers the body of a further attempt alone
//   AnswerBoth  answers a first attempt with its further one
//   RefuseSecond  the same, but refuses the further one
//   MaybeOnce  ends each first attempt UNAVAILABLE, maybe executed, then answers the body
//   Repeats   how many further attempts have come, as text
//   Remaining the DEADLINE of the request in ns, as text; "stream" if it names none
//   Pairs     the pairs of the request, as name=value; lines
//   Cancels   how many CANCEL frames have come, as text; Refusals: what Refuse has refused
//   Chat      (stream) each message back; END for END
//   Deaf      (stream) never gives credit     Broken   (stream) END with ABORTED at the first
//   message
class FakeNode final : private transport::AcceptHandler, private transport::ConnectionHandler {
 public:
  // Listens on an abstract Unix socket of its own, or on `url`.
  explicit FakeNode(std::string url = {}, std::uint32_t requests_in_flight_max = 4096);
  ~FakeNode();

  [[nodiscard]] const std::string& url() const { return url_; }
  // Cuts all connections without a word.
  void cut();
  // Sends GOAWAY(draining) on all connections; new ones are accepted as before.
  void drain(protocol::Duration grace);
  // Resets the streams on which calls go to a service; what runs there ends as lost.
  void reset_routes(const std::string& service);
  // Ends the registration of a service with a status.
  void refuse_registrations(bool refuse) { refuse_ = refuse; }
  // Registrations, connections and frames so far.
  [[nodiscard]] int registrations() const { return registrations_; }
  [[nodiscard]] int connections() const { return accepted_; }
  // What registrations have said about their health, in order, between blanks.
  [[nodiscard]] std::string health();
  // Its publish/subscribe; inside of run().
  [[nodiscard]] FakeSubjects& subjects() { return subjects_; }
  // Runs `work` on the node's thread and waits for it.
  void run(std::function<void()> work);

 private:
  struct Peer;
  struct Stream;
  // A request on its way to a service, by the cookie of its upstream request.
  struct Routed {
    Peer* from = nullptr;
    std::uint32_t stream = 0;
    std::uint32_t correlation = 0;
  };

  void on_accepted(transport::Socket socket) override;
  void on_event(transport::Connection& connection, const protocol::Event& event) override;
  void on_closed(transport::Connection& connection, const transport::CloseReason& reason) override;
  void on_opened(Peer& peer, const protocol::Event& event);
  void on_request(Peer& peer, Stream& stream, const protocol::Event& event);
  void on_data(Peer& peer, Stream& stream, const protocol::Event& event);
  void on_register(Peer& peer, Stream& stream, const protocol::Event& event);
  void on_end(Peer& peer, Stream& stream, const protocol::Event& event);
  void link(Stream& stream, const protocol::Event& event);
  void pass_on(Stream& stream, const protocol::Event& event);
  static void on_flushed(Stream& stream);
  static void on_reset(Stream& stream, const protocol::Event& event);
  bool on_attempt(Peer& peer, std::string_view method, const protocol::Event& event,
                  std::string_view body, bool again);
  void route(Peer& peer, Stream& stream, const protocol::Event& event);
  void answer_routed(Peer& peer, const protocol::Event& event);
  void answer(Peer& peer, const protocol::Event& event, std::string_view body,
              protocol::StatusCode code = protocol::StatusCode::ok,
              protocol::Outcome outcome = protocol::Outcome::executed, std::string_view text = {});
  Peer& peer_of(transport::Connection& connection);

  std::string url_;
  std::uint32_t requests_in_flight_max_;
  std::unique_ptr<transport::Reactor> reactor_;
  protocol::BufferPool buffers_;
  std::optional<transport::Listener> listener_;
  std::optional<transport::Acceptor> acceptor_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<std::unique_ptr<Peer>> dead_;
  FakeSubjects subjects_;
  std::map<std::string, Peer*> services_;
  std::map<std::uint64_t, Routed> routed_;
  std::uint64_t last_cookie_ = 0;
  std::map<std::string, protocol::Event> first_attempts_;  // Of AnswerBoth and RefuseSecond.
  int cancels_ = 0;
  int repeats_ = 0;
  int refusals_ = 0;
  std::string health_;
  std::atomic<bool> refuse_{false};
  std::atomic<int> registrations_{0};
  std::atomic<int> accepted_{0};
  std::thread thread_;
};

}  // namespace valkyrie::test
