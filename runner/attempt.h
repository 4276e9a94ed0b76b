// The agent's end of one attempt: starts its shim, reads its output no faster than it may be sent,
// and turns both into the messages of Runners/Work.
//
// Driven from outside: watch what watches() names, call on_ready() when one is ready and
// on_deadline() at deadline(), then take what poll_message() gives. Not thread-safe; the thread
// that launches must outlive the attempt. Destroying it kills the attempt and waits for its end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>

#include "protocol/messages/jobs.h"
#include "protocol/time.h"
#include "runner/isolation.h"

namespace valkyrie::runner {

// How attempts are started.
struct ExecutorOptions {
  std::string program;             // Executed as the shim; its main() calls run_if_shim.
  std::filesystem::path work_dir;  // Workspaces are made here.
  Fence fence = Fence::none;
};

// After the leader's end its output is read until its end, or until it was silent for so long,
inline constexpr protocol::Duration kTailIdle = std::chrono::milliseconds(250);
// and at most so long. What comes later is `background`.
inline constexpr protocol::Duration kTailMax = std::chrono::seconds(2);

// See the top of the file.
class Attempt {
 public:
  // A descriptor and whether it is to be read now.
  struct Watch {
    int fd = -1;
    bool read = false;
  };

  // Starts it. The error, for people: why there is no shim; the attempt then never began.
  static std::expected<std::unique_ptr<Attempt>, std::string> launch(const ExecutorOptions& options,
                                                                     const messages::Start& start,
                                                                     protocol::Instant now);
  ~Attempt();
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // Stops the whole tree: TERM, and KILL after the grace.
  void cancel(const messages::CancelAttempt& request);
  // A held one may run.
  void go();
  // More output may be sent (messages::Window).
  void open_window(std::uint64_t output_limit);

  // What to watch; fixed in number and order, -1 where there is no more.
  [[nodiscard]] std::array<Watch, 3> watches() const;
  // A watched descriptor is readable or hung up.
  void on_ready(int fd, protocol::Instant now);
  // When to call on_deadline; nullopt: never.
  [[nodiscard]] std::optional<protocol::Instant> deadline() const { return deadline_; }
  // Does what is due at `now`.
  void on_deadline(protocol::Instant now);

  // Next message for the node, in order. The last is AttemptEnded.
  std::optional<messages::RunnerMessage> poll_message();
  // AttemptEnded has been polled.
  [[nodiscard]] bool over() const { return over_; }
  // Of the Start it was launched with.
  [[nodiscard]] std::uint64_t token() const { return token_; }

 private:
  struct Pipe {
    int fd = -1;
    messages::OutputStream stream = messages::OutputStream::out;
  };

  Attempt() = default;
  std::expected<void, std::string> spawn(const ExecutorOptions& options);
  bool send_to_shim(const messages::NodeMessage& message) const;
  void read_control(protocol::Instant now);
  void read_pipe(Pipe& pipe, protocol::Instant now);
  void begin_tail(protocol::Instant now);
  void settle_tail();
  void take_result(messages::AttemptEnded ended, protocol::Instant now);
  void close_pipes();
  void finish_if_drained();
  [[nodiscard]] std::size_t chunk_room() const;

  std::uint64_t token_ = 0;
  protocol::Instant received_;  // When the Start was there.
  pid_t shim_ = -1;
  int control_ = -1;
  std::array<Pipe, 2> pipes_{Pipe{-1, messages::OutputStream::out},
                             Pipe{-1, messages::OutputStream::err}};
  std::uint64_t offset_ = 0;
  std::uint64_t cost_ = 0;
  std::uint64_t cost_limit_ = 0;
  bool started_ = false;
  bool tail_settled_ = false;
  std::optional<protocol::Instant> tail_until_;
  std::optional<protocol::Instant> deadline_;
  std::optional<messages::AttemptEnded> result_;
  std::deque<messages::RunnerMessage> messages_;
  bool ended_ = false;  // AttemptEnded is in messages_, or polled.
  bool over_ = false;
};

}  // namespace valkyrie::runner
