// A client, or a service, of a node under test: one real connection, driven by the test's thread.
#pragma once

#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/buffer_pool.h"
#include "protocol/session.h"
#include "transport/connection.h"
#include "transport/reactor.h"

namespace valkyrie::server::testing {

// How a call ended.
struct Answer {
  protocol::StatusCode code = protocol::StatusCode::ok;
  protocol::Outcome outcome = protocol::Outcome::executed;
  std::string text;     // Of an error.
  std::string payload;  // Of success.
};

// A connected stream socket to an address; an empty one if nobody listens there. Blocking.
[[nodiscard]] transport::Socket dial(std::string_view url);

// Sends bytes on a plain socket.
void send_bytes(const transport::Socket& socket, std::string_view bytes);
// Waits until the peer has closed; what it sent before, nullopt if it did not close.
[[nodiscard]] std::optional<std::string> read_until_closed(const transport::Socket& socket);

// One session with a node. What comes is handled inside turn_until() and the functions that wait.
class TestClient final : private transport::ConnectionHandler {
 public:
  // Dials at once; what is said goes through `channel`, if there is one.
  TestClient(transport::Reactor& reactor, std::string_view url,
             const protocol::SessionConfig& config = {},
             std::unique_ptr<protocol::Channel> channel = nullptr);
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  // Waits for the end of the hello; false if the connection ended instead.
  bool wait_ready();
  // Waits for the end of the connection; its reason.
  std::optional<transport::CloseReason> wait_closed();
  // Whether the connection has ended.
  [[nodiscard]] bool closed() const { return closed_.has_value(); }
  // Turns the reactor until the condition holds; false if it took too long.
  bool turn_until(const std::function<bool()>& condition);

  // Calls and waits for the answer.
  Answer call(std::string_view service, std::string_view method, std::string_view payload);
  // Calls; the answer comes into `answers`. The stream it was called on; 0 if that failed.
  std::uint32_t start_call(std::string_view service, std::string_view method,
                           std::string_view payload);
  // The same with further metadata in the STREAM_OPEN.
  std::uint32_t start_call_with(std::string_view service, std::string_view method,
                                std::string_view payload, protocol::MetadataKey key,
                                std::string_view value);
  // Calls on a stream of start_call().
  void start_call(std::uint32_t stream, std::string_view payload);
  // Registers as an instance of the service and waits until it can be called; false if the node
  // refuses.
  bool serve(std::string_view service);
  // Answers the oldest of `requests`.
  void answer(std::string_view payload);
  // Opens a stream with this SUBJECT as it stands, legal or not; empty: with none. 0 if the session
  // cannot now. RESETs come into `resets`.
  std::uint32_t open_subject(protocol::StreamKind kind, std::string_view subject);
  // Publishes an empty message to a subject, legal or not, and waits for the receipt.
  Answer publish(std::uint32_t stream, std::string_view subject);
  // Shows another credential and waits for the answer: for how many seconds it holds; nullopt if
  // the connection ended.
  std::optional<std::uint32_t> show(std::string_view credential);
  // RESETs a stream.
  void reset(std::uint32_t stream);
  // ENDs the streams this side has opened.
  void end_streams();
  // Closes the session.
  void close();

  // Requests that came and were not answered: stream, correlation, payload.
  struct Request {
    std::uint32_t stream = 0;
    std::uint32_t correlation = 0;
    std::string payload;
  };
  std::deque<Request> requests;
  std::deque<Answer> answers;
  std::size_t streams_opened = 0;                       // By the node.
  std::map<std::uint32_t, protocol::CloseCode> resets;  // Of the node, by stream.
  std::string caller;  // Subject of IDENTITY, of the last stream that was opened to this side.
  bool ready = false;
  bool goaway = false;
  std::optional<std::uint32_t> seconds_left;  // As the last AUTH_OK has it.

 private:
  void on_event(transport::Connection& connection, const protocol::Event& event) override;
  void on_closed(transport::Connection& connection, const transport::CloseReason& reason) override;
  void end_if_answered(std::uint32_t stream);
  std::uint32_t open(protocol::StreamKind kind, std::string_view service, std::string_view method,
                     protocol::MetadataKey key = {}, std::string_view value = {});
  Answer wait_answer();

  transport::Reactor& reactor_;
  protocol::BufferPool pool_;
  std::unique_ptr<transport::Connection> connection_;
  std::vector<std::uint32_t> opened_;
  std::vector<std::uint32_t> ended_;  // By the peer, and not yet by this side.
  std::vector<std::uint32_t> over_;   // ENDed by the peer at any time.
  bool registered_ = false;
  std::optional<transport::CloseReason> closed_;
};

}  // namespace valkyrie::server::testing
