#include "tests/simulation/stream_book.h"

#include <algorithm>

#include "tests/simulation/pattern.h"
#include "tests/simulation/violation.h"

namespace valkyrie::simulation {

using protocol::CloseCode;
using protocol::Outcome;
using protocol::StatusCode;

std::uint64_t message_name(StreamNumber number, bool is_up, std::size_t index) {
  return number << 32U | (is_up ? 1U << 31U : 0U) | index;
}

StreamRecord& StreamBook::open(std::uint32_t caller, const StreamAsk& ask) {
  StreamRecord& record = streams_.emplace_back();
  record.number = streams_.size();
  record.ask = ask;
  record.caller = caller;
  return record;
}

void StreamBook::not_taken(StreamNumber number) {
  StreamRecord& record = this->record(number);
  record.caller_over = record.service_over = true;
  record.ask.must_succeed = false;
}

StreamRecord& StreamBook::record(StreamNumber number) {
  require(number > 0 && number <= streams_.size(), "there is no stream {}", number);
  return streams_[number - 1];
}

StreamRecord& StreamBook::seen(std::uint32_t service, const protocol::Event& event) {
  StreamRecord& record =
      this->record(id_of(event.metadata.find(kCallKey).value_or(std::span<const std::byte>{})));
  require(record.seen_by == 0, "stream {} reached services {} and {}", record.number,
          record.seen_by, service);
  require(!record.never_executed, "stream {} reached service {}, but was said not to",
          record.number, service);
  require(event.metadata.service() == record.ask.target, "stream {} to {} came as {}",
          record.number, record.ask.target, event.metadata.service().value_or("nobody"));
  require(event.metadata.deadline().has_value() == record.ask.deadline.has_value() &&
              event.metadata.deadline() <= record.ask.deadline,
          "stream {} came with another deadline", record.number);
  record.seen_by = service;
  return record;
}

void StreamBook::got_data(const StreamRecord& record, Direction& direction, bool is_up,
                          const protocol::Event& event) {
  const char* way = is_up ? "up" : "down";
  require(direction.got < direction.sizes.size() && !direction.got_end,
          "stream {} {}: a message that nobody sent", record.number, way);
  const std::uint32_t size = direction.sizes[direction.got];
  const std::size_t end = direction.offset + event.payload.size();
  require(end <= size && (event.more || end == size), "stream {} {}: message {} of {} bytes has {}",
          record.number, way, direction.got, size, end);
  const auto whole = pattern(message_name(record.number, is_up, direction.got), end);
  require(std::ranges::equal(std::span(whole).subspan(direction.offset), event.payload),
          "stream {} {}: message {} has other bytes at {}", record.number, way, direction.got,
          direction.offset);
  direction.offset = event.more ? static_cast<std::uint32_t>(end) : 0;
  if (!event.more) ++direction.got;
}

void StreamBook::got_end(StreamRecord& record, bool is_up, const protocol::Event& event) {
  Direction& direction = is_up ? record.up : record.down;
  const auto status = event.metadata.status().value_or(protocol::Status{});
  if (!is_up) record.status = status.code;
  if (!is_up && !record.replied) {
    // The node's own word.
    require(status.code != StatusCode::ok && status.outcome == Outcome::not_executed,
            "stream {} ended with {}, but no service said so", record.number,
            to_string(status.code));
    require(record.seen_by == 0, "stream {} was not executed, but service {} saw it", record.number,
            record.seen_by);
    record.never_executed = true;
    return;
  }
  direction.got_end = true;
  // The call is over: the node ENDs what its caller has not.
  if (is_up && record.replied) return;
  require(direction.ended && direction.got == direction.sizes.size() && direction.offset == 0,
          "stream {} {}: END after {} of {} messages", record.number, is_up ? "up" : "down",
          direction.got, direction.sizes.size());
  require(is_up || status.code == *record.replied, "stream {} ended with {} instead of {}",
          record.number, to_string(status.code), to_string(*record.replied));
}

void StreamBook::caller_over(StreamRecord& record, const protocol::Event& event) {
  record.caller_over = true;
  if (event.type != protocol::EventType::reset) return;
  record.code = event.code;
  if (event.code != CloseCode::no_service && event.code != CloseCode::refused) return;
  require(record.seen_by == 0, "stream {} ended with {}, but service {} saw it", record.number,
          to_string(event.code), record.seen_by);
  record.never_executed = true;
}

void StreamBook::check_all_over() const {
  for (const StreamRecord& record : streams_) {
    require(record.caller_over, "stream {} of program {} to {} goes on", record.number,
            record.caller, record.ask.target);
    require(record.seen_by == 0 || record.service_over, "stream {} goes on at service {}",
            record.number, record.seen_by);
    require(!record.ask.must_succeed || record.status == StatusCode::ok,
            "stream {} to {} should have succeeded: {}, {}", record.number, record.ask.target,
            record.status ? to_string(*record.status) : "no END", to_string(record.code));
  }
}

}  // namespace valkyrie::simulation
