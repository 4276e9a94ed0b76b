#include "tests/simulation/program.h"

#include <array>
#include <utility>

#include "protocol/metadata.h"
#include "tests/simulation/violation.h"

namespace valkyrie::simulation {
namespace {

using protocol::CloseCode;
using protocol::EventType;

// Whether a session or stream of peers that keep to the rules may end for this reason.
bool is_honest(CloseCode code, bool patient) {
  switch (code) {
    case CloseCode::slow_peer:
    case CloseCode::handshake_timeout:
    case CloseCode::keepalive_timeout:
      return !patient;
    case CloseCode::none:
    case CloseCode::superseded:
    case CloseCode::cancelled:
    case CloseCode::deadline:
    case CloseCode::no_service:
    case CloseCode::refused:
    case CloseCode::draining:
    case CloseCode::destination_lost:
      return true;
    default:
      return false;
  }
}

}  // namespace

WorldProgram::WorldProgram(Surroundings around, std::uint32_t number, std::uint32_t shard,
                           const protocol::SessionConfig& config)
    : around_(around),
      number_(number),
      node_window_(around.network.node_config.limits.stream_credit_bytes),
      own_window_(config.limits.stream_credit_bytes),
      wire_(around.network.dial(*this, shard, config)) {}

void WorldProgram::on_event(const protocol::Event& event) {
  switch (event.type) {
    case EventType::closed:
      closed_ = true;
      streams_.clear();
      around_.trace.line(now(), "{}: session over, {}", number_, to_string(event.code));
      require(is_honest(event.code, around_.patient),
              "the session of program {} ended with {} ({})", number_, to_string(event.code),
              event.local ? "its own word" : "the node's word");
      break;
    case EventType::goaway:
      draining_ = true;
      break;
    case EventType::stream_opened:
      note_stream(event.stream);
      break;
    case EventType::reset:
      around_.trace.line(now(), "{}: stream {} reset, {}{}", number_, event.stream,
                         to_string(event.code), event.local ? " by itself" : "");
      require(is_honest(event.code, around_.patient), "stream {} of program {} was reset with {}",
              event.stream, number_, to_string(event.code));
      forget_stream(event.stream);
      break;
    case EventType::end:
    case EventType::stream_closed:
      forget_stream(event.stream);
      break;
    default:
      break;
  }
  on_program_event(event);
}

void WorldProgram::consume(const protocol::Event& event) {
  if (keeps_credit_) {
    debts_.push_back({.stream = event.stream, .bytes = event.cost});
  } else {
    session().consume(event.stream, event.cost);
  }
}

std::uint32_t WorldProgram::open_stream(std::string_view service, std::string_view method) {
  std::array<std::byte, 256> buffer;
  protocol::MetadataWriter writer(buffer);
  writer.service(service);
  writer.method(method);
  const std::uint32_t stream =
      session()
          .open_stream(protocol::StreamKind::stream, 0, {.metadata = *writer.finish()}, 0)
          .value_or(0);
  if (stream != 0) note_stream(stream);
  return stream;
}

bool WorldProgram::send_message(std::uint32_t stream, std::string_view body) {
  return session().send_data(stream, {.payload = std::as_bytes(std::span(body))}).has_value();
}

std::optional<std::string> WorldProgram::whole_message(const protocol::Event& event) {
  std::string& whole = parts_[event.stream];
  whole.append(reinterpret_cast<const char*>(event.payload.data()), event.payload.size());
  if (event.more) return std::nullopt;
  return std::exchange(whole, {});
}

void WorldProgram::give_credit(bool at_once) {
  keeps_credit_ = !at_once;
  if (!at_once) return;
  for (const Debt& debt : std::exchange(debts_, {})) session().consume(debt.stream, debt.bytes);
}

void WorldProgram::drain(Duration grace) {
  draining_ = true;
  around_.trace.line(now(), "{}: drains", number_);
  session().drain(grace, now());
}

void WorldProgram::check_idle() {
  for (const auto* side : {&wire_.near, &wire_.far}) {
    const char* whose = side == &wire_.near ? "program" : "node's side of program";
    require(side->held_bytes() == 0, "{} {} holds {} bytes", whose, number_, side->held_bytes());
    require(side->queued_bytes() == 0, "{} {} queues {} bytes", whose, number_,
            side->queued_bytes());
    require(side->requests_in_flight() == 0, "{} {} waits for {} answers", whose, number_,
            side->requests_in_flight());
    const std::uint64_t window = side == &wire_.near ? node_window_ : own_window_;
    for (const std::uint32_t stream : streams_) {
      require(side->send_credit(stream) * 4 >= window * 3,
              "{} {} has {} of {} bytes of credit on stream {}", whose, number_,
              side->send_credit(stream), window, stream);
    }
  }
}

}  // namespace valkyrie::simulation
