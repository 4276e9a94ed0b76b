// Every stream of a world: what each side sent, what the other got of it, and how it ended. What
// cannot be true throws a Violation at the moment it is told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/constants.h"
#include "protocol/event.h"
#include "protocol/time.h"

namespace valkyrie::simulation {

// Names a stream in its world; never 0.
using StreamNumber = std::uint64_t;

// What a caller wants of a stream.
struct StreamAsk {
  std::string target;  // A service of the world.
  std::optional<protocol::Duration> deadline{};
  std::uint8_t options = 0;
  std::uint8_t qos = protocol::kQosDefault;
  bool must_succeed = false;  // Nothing in this world excuses another end than an ok one.
};

// One direction of a stream.
struct Direction {
  std::vector<std::uint32_t> sizes;  // Of the messages that were sent, the last perhaps in part.
  std::size_t got = 0;               // Whole messages that came,
  std::uint32_t offset = 0;          // and bytes of the next.
  bool ended = false;                // The sender sent END,
  bool got_end = false;              // and it came.
};

// A stream and what became of it.
struct StreamRecord {
  StreamNumber number = 0;
  StreamAsk ask;
  std::uint32_t caller = 0;
  Direction up;                                 // To the service,
  Direction down;                               // and back.
  std::uint32_t seen_by = 0;                    // The service program that saw it; 0: none.
  std::optional<protocol::StatusCode> replied;  // What the service ENDed it with.
  std::optional<protocol::StatusCode> status;   // What the caller's end says.
  protocol::CloseCode code = protocol::CloseCode::none;  // Of the caller's RESET.
  bool never_executed = false;                           // So the caller was told.
  bool caller_over = false;
  bool service_over = false;
};

// See the top of the file.
class StreamBook {
 public:
  // A caller opens a stream.
  StreamRecord& open(std::uint32_t caller, const StreamAsk& ask);
  // Its session did not take the STREAM_OPEN: there is no stream.
  void not_taken(StreamNumber number);
  // A service saw a STREAM_OPEN.
  StreamRecord& seen(std::uint32_t service, const protocol::Event& event);

  // Data came. `name` is that of the direction's messages: see message_name().
  static void got_data(const StreamRecord& record, Direction& direction, bool is_up,
                       const protocol::Event& event);
  // END came to the service, or to the caller.
  static void got_end(StreamRecord& record, bool is_up, const protocol::Event& event);
  // The stream is over for its caller, by RESET or in order.
  static void caller_over(StreamRecord& record, const protocol::Event& event);

  // The record with this number; a Violation if there is none.
  [[nodiscard]] StreamRecord& record(StreamNumber number);
  // All streams, in the order they were opened.
  [[nodiscard]] const std::vector<StreamRecord>& streams() const { return streams_; }
  // At the end of the world: each stream is over on both sides, and those that must have succeeded.
  void check_all_over() const;

 private:
  std::vector<StreamRecord> streams_;
};

// What the bytes of a message are the pattern of.
[[nodiscard]] std::uint64_t message_name(StreamNumber number, bool is_up, std::size_t index);

}  // namespace valkyrie::simulation
