// What callers and services of a world have in common about streams: they send messages of all
// lengths, whole and in parts, END early and late, RESET, and check what comes.
#pragma once

#include <map>
#include <optional>

#include "tests/simulation/program.h"
#include "tests/simulation/stream_book.h"

namespace valkyrie::simulation {

// See the top of the file.
class Streamer : public WorldProgram {
 public:
  using WorldProgram::WorldProgram;

  // Opens a stream; whether the session took it.
  bool open(const StreamAsk& ask);
  // Sends a message of `bytes`, or a part of it, on one of the streams it opened, or END.
  void talk(std::uint32_t bytes);
  // RESETs one of its streams.
  void abandon_any();
  // ENDs all that it opened, and answers all that others did, at once from now on.
  void finish_all();

  bool moody = false;  // As a service: ENDs early, with errors, or RESETs.

 protected:
  // Handles what is about a stream; false if `event` is not.
  bool on_stream_event(const protocol::Event& event);
  // Times of its own: when a deadline of a stream passes.
  [[nodiscard]] std::optional<Instant> stream_deadline() const;
  void on_stream_deadline();

 private:
  // How a service talks.
  enum class Shape : std::uint8_t { echoes, answers_at_end, ends_early, resets };
  struct Talk {
    StreamNumber number = 0;
    bool is_caller = false;
    std::uint32_t unsent = 0;  // Of the message that was begun.
    Shape shape = Shape::echoes;
  };

  void on_opened(const protocol::Event& event);
  void answer(std::uint32_t stream, Talk& talk, bool is_end);
  bool send(std::uint32_t stream, Talk& talk, std::uint32_t bytes, bool in_part);
  bool send_part(std::uint32_t stream, Talk& talk, std::uint32_t bytes);
  void end(std::uint32_t stream, Talk& talk, protocol::StatusCode code);
  void give_up(std::uint32_t stream, protocol::CloseCode code);
  void over(std::uint32_t stream, const protocol::Event& event);
  Direction& own(const Talk& talk);

  std::map<std::uint32_t, Talk> talks_;
  std::multimap<Instant, std::uint32_t> deadlines_;
};

}  // namespace valkyrie::simulation
