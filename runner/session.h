// The runner's end of Runners/Work over the SDK: opens the stream, and again when it ends, and
// carries messages between the SDK's loop and the runner's own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "protocol/messages/jobs.h"
#include "protocol/time.h"
#include "valkyrie/client.h"

namespace valkyrie::runner {

// Waits between two openings of the stream: full jitter up to a bound that doubles.
inline constexpr protocol::Duration kReopenMin = std::chrono::milliseconds(100);
inline constexpr protocol::Duration kReopenMax = std::chrono::seconds(5);

// What happened to the stream, in order.
struct SessionEvent {
  // Which of the fields counts.
  enum class Kind : std::uint8_t { message, written, ended };
  Kind kind = Kind::message;
  messages::NodeMessage message;  // Came from the node.
  std::string text;               // Why it ended.
};

// One Work stream at a time. The runner's thread calls everything; wake_fd() becomes readable when
// take_events() has something.
class Session {
 public:
  // `client` outlives the session.
  explicit Session(Client& client);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Opens a stream. REQUIRES: none is open.
  void open();
  // Whether a stream is open: opened, and no `ended` event taken since.
  [[nodiscard]] bool is_open() const { return stream_ != nullptr; }
  // Whether write() may be called: the last one is inside the node's credit.
  [[nodiscard]] bool may_write() const { return is_open() && !writing_; }
  // Sends a message; a `written` event follows. REQUIRES: may_write()
  void write(const messages::RunnerMessage& message);
  // Gives the stream up at once.
  void reset();

  // Readable when there are events.
  [[nodiscard]] int wake_fd() const;
  // What happened since the last time.
  [[nodiscard]] std::vector<SessionEvent> take_events();

 private:
  struct Inbox;

  static void read_next(const std::shared_ptr<Stream<>>& stream,
                        const std::shared_ptr<Inbox>& inbox, std::uint64_t generation);

  Client& client_;
  std::shared_ptr<Inbox> inbox_;
  std::shared_ptr<Stream<>> stream_;
  std::uint64_t generation_ = 0;
  bool writing_ = false;
};

}  // namespace valkyrie::runner
