#include "tests/simulation/streamer.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "protocol/metadata.h"
#include "tests/simulation/pattern.h"

namespace valkyrie::simulation {

using protocol::CloseCode;
using protocol::EventType;
using protocol::StatusCode;

bool Streamer::open(const StreamAsk& ask) {
  StreamRecord& record = around_.streams.open(number(), ask);
  std::array<std::byte, 256> buffer;
  protocol::MetadataWriter writer(buffer);
  if (ask.deadline) writer.deadline(*ask.deadline);
  writer.service(ask.target);
  writer.method("Talk");
  writer.ignorable(kCallKey, id_bytes(record.number));
  const auto opened = session().open_stream(protocol::StreamKind::stream, ask.options,
                                            {.metadata = *writer.finish(), .qos = ask.qos}, 0);
  if (!opened) {
    around_.streams.not_taken(record.number);
    return false;
  }
  around_.trace.line(now(), "{}: opens stream {} as {} to {}", number(), record.number, *opened,
                     ask.target);
  talks_[*opened] = {.number = record.number, .is_caller = true};
  note_stream(*opened);
  if (ask.deadline) deadlines_.emplace(now() + *ask.deadline, *opened);
  return true;
}

Direction& Streamer::own(const Talk& talk) {
  StreamRecord& record = around_.streams.record(talk.number);
  return talk.is_caller ? record.up : record.down;
}

void Streamer::talk(std::uint32_t bytes) {
  std::vector<std::uint32_t> mine;
  for (const auto& [stream, talk] : talks_) {
    if (talk.is_caller && !own(talk).ended) mine.push_back(stream);
  }
  if (mine.empty()) return;
  const std::uint32_t stream = mine[pick(mine.size())];
  Talk& talk = talks_[stream];
  if (pick(6) == 0) return end(stream, talk, StatusCode::ok);
  send(stream, talk, bytes, /*in_part=*/pick(3) == 0);
}

void Streamer::abandon_any() {
  if (talks_.empty()) return;
  const auto at = std::next(talks_.begin(), static_cast<std::ptrdiff_t>(pick(talks_.size())));
  around_.trace.line(now(), "{}: abandons stream {}", number(), at->second.number);
  give_up(at->first, CloseCode::cancelled);
}

void Streamer::finish_all() {
  moody = false;
  std::vector<std::uint32_t> all;
  for (auto& [stream, talk] : talks_) {
    if (talk.is_caller && !own(talk).ended) all.push_back(stream);
  }
  for (const std::uint32_t stream : all) end(stream, talks_[stream], StatusCode::ok);
}

// Sends a message, or finishes the one it has begun.
bool Streamer::send(std::uint32_t stream, Talk& talk, std::uint32_t bytes, bool in_part) {
  if (talk.unsent > 0) return send_part(stream, talk, talk.unsent);
  own(talk).sizes.push_back(bytes);
  talk.unsent = bytes;
  if (bytes == 0 || !in_part) return send_part(stream, talk, bytes);
  return send_part(stream, talk, 1 + static_cast<std::uint32_t>(pick(bytes)));
}

// Sends the next bytes of a message, the last of them if no more are left.
bool Streamer::send_part(std::uint32_t stream, Talk& talk, std::uint32_t bytes) {
  const Direction& direction = own(talk);
  const std::uint32_t size = direction.sizes.back();
  const auto whole =
      pattern(message_name(talk.number, talk.is_caller, direction.sizes.size() - 1), size);
  const bool more = bytes < talk.unsent;
  const auto sent = session().send_data(
      stream, {.payload = std::span(whole).subspan(size - talk.unsent, bytes)}, more);
  talk.unsent -= bytes;
  if (sent) return true;
  // The message is lost: so is the stream.
  give_up(stream, CloseCode::cancelled);
  return false;
}

void Streamer::end(std::uint32_t stream, Talk& talk, StatusCode code) {
  Direction& direction = own(talk);
  if (direction.ended || (talk.unsent > 0 && !send_part(stream, talk, talk.unsent))) return;
  std::array<std::byte, 64> buffer;
  protocol::MetadataWriter writer(buffer);
  if (code != StatusCode::ok) {
    writer.status({.code = code, .outcome = protocol::Outcome::executed, .text = "no"});
  }
  if (!talk.is_caller) around_.streams.record(talk.number).replied = code;
  direction.ended = true;
  static_cast<void>(session().send_end(stream, *writer.finish()));
}

void Streamer::give_up(std::uint32_t stream, CloseCode code) { session().reset(stream, code); }

void Streamer::on_opened(const protocol::Event& event) {
  const StreamRecord& record = around_.streams.seen(number(), event);
  Talk& talk = talks_[event.stream];
  talk.number = record.number;
  talk.shape = static_cast<Shape>(pick(moody ? 4 : 2));
  around_.trace.line(now(), "{}: got stream {} as {}", number(), record.number, event.stream);
}

// A message came whole to a service, or the END.
void Streamer::answer(std::uint32_t stream, Talk& talk, bool is_end) {
  if (own(talk).ended) return;
  const auto size = [&] {
    return static_cast<std::uint32_t>(pick(4) == 0 ? pick(30'000) : pick(100));
  };
  if (talk.shape == Shape::resets) return give_up(stream, CloseCode::cancelled);
  if (talk.shape == Shape::ends_early) return end(stream, talk, kErrorCode);
  if (!is_end) {
    if (talk.shape == Shape::echoes) send(stream, talk, size(), /*in_part=*/pick(4) == 0);
    return;
  }
  for (std::uint64_t i = pick(4); i > 0; --i) {
    if (!send(stream, talk, size(), /*in_part=*/false)) return;
  }
  end(stream, talk, StatusCode::ok);
}

void Streamer::over(std::uint32_t stream, const protocol::Event& event) {
  const Talk& talk = talks_[stream];
  StreamRecord& record = around_.streams.record(talk.number);
  if (talk.is_caller) {
    StreamBook::caller_over(record, event);
  } else {
    record.service_over = true;
  }
  talks_.erase(stream);
}

bool Streamer::on_stream_event(const protocol::Event& event) {
  if (event.type == EventType::stream_opened && event.kind == protocol::StreamKind::stream) {
    on_opened(event);
    return true;
  }
  const auto found = talks_.find(event.stream);
  if (event.stream == 0 || found == talks_.end()) return false;
  Talk& talk = found->second;
  StreamRecord& record = around_.streams.record(talk.number);
  const bool is_up = !talk.is_caller;
  switch (event.type) {
    case EventType::data:
      StreamBook::got_data(record, is_up ? record.up : record.down, is_up, event);
      consume(event);
      if (is_up && !event.more) answer(event.stream, talk, /*is_end=*/false);
      return true;
    case EventType::end:
      StreamBook::got_end(record, is_up, event);
      if (is_up) {
        answer(event.stream, talk, /*is_end=*/true);
      } else if (talk.unsent > 0) {
        give_up(event.stream, CloseCode::cancelled);
      } else {
        end(event.stream, talk, StatusCode::ok);
      }
      return true;
    case EventType::reset:
    case EventType::stream_closed:
      over(event.stream, event);
      return true;
    default:
      return true;
  }
}

std::optional<Instant> Streamer::stream_deadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

// The caller's own timer rules.
void Streamer::on_stream_deadline() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now()) {
    const std::uint32_t stream = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (talks_.contains(stream)) give_up(stream, CloseCode::deadline);
  }
}

}  // namespace valkyrie::simulation
