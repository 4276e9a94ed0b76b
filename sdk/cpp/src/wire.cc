#include "sdk/cpp/src/wire.h"

#include <fmt/core.h>

#include "sdk/cpp/src/caller.h"
#include "sdk/cpp/src/link.h"
#include "sdk/cpp/src/slot.h"

namespace valkyrie::detail {
namespace {

// A request that waited longer than this says its deadline anew; the stream's default would give it
// more time than its caller has.
constexpr protocol::Duration kWaitUnsaid = std::chrono::milliseconds{1};

EncodedMetadata finish(const protocol::MetadataWriter& writer) {
  const auto written = writer.finish();
  if (!written) return std::unexpected(protocol::to_string(written.error()));
  return *written;
}

void write_pairs(protocol::MetadataWriter& writer, const Metadata& pairs) {
  for (std::size_t at = 0; auto pair = pairs.next(at);) writer.pair(pair->name, pair->value);
}

// All of these have keys above those of deadlines, names and attempts.
void write_extras(protocol::MetadataWriter& writer, const CallExtras& extras) {
  if (extras.trace) writer.put(protocol::MetadataKey::trace, std::span(*extras.trace));
  if (!extras.idempotency_key.empty()) {
    writer.put(protocol::MetadataKey::idempotency_key, extras.idempotency_key);
  }
  write_pairs(writer, extras.metadata);
}

}  // namespace

Result<TargetParts> split_target(std::string_view target) {
  const std::size_t slash = target.rfind('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == target.size()) {
    return fail(StatusCode::invalid_argument,
                fmt::format("\"{}\" is no target; write service/method", target),
                Outcome::not_executed);
  }
  return TargetParts{.service = target.substr(0, slash), .method = target.substr(slash + 1)};
}

std::uint8_t qos_byte(Qos qos, std::uint8_t urgency, std::uint8_t base) {
  const auto upper = qos == Qos::inherit ? base >> 5 : static_cast<int>(qos);
  const auto lower = urgency == kUrgencyInherit ? base & 31 : urgency & 31;
  return static_cast<std::uint8_t>(upper << 5 | lower);
}

EncodedMetadata open_metadata(const TargetParts& target, protocol::Duration deadline,
                              const CallExtras* extras, MetadataBuffer& buffer) {
  protocol::MetadataWriter writer(buffer);
  if (deadline > protocol::Duration::zero()) writer.deadline(deadline);
  writer.service(target.service);
  writer.method(target.method);
  if (extras != nullptr) write_extras(writer, *extras);
  return finish(writer);
}

EncodedMetadata request_metadata(const Slot& slot, protocol::Duration stream_deadline,
                                 protocol::Instant now, MetadataBuffer& buffer) {
  const protocol::Duration left = slot.deadline - now;
  const bool same = left <= stream_deadline && stream_deadline - left <= kWaitUnsaid;
  const CallExtras* extras =
      slot.primary == nullptr ? slot.extras.get() : slot.primary->extras.get();
  if (same && slot.attempts == 0 && extras == nullptr) return {};
  protocol::MetadataWriter writer(buffer);
  if (!same && !slot.one_way) writer.deadline(left);
  if (slot.attempts > 0 && !slot.one_way) {
    writer.octet(protocol::MetadataKey::attempt, slot.attempts);
  }
  if (extras != nullptr) write_extras(writer, *extras);
  return finish(writer);
}

std::span<const std::byte> status_metadata(const Status& status, const Metadata* pairs,
                                           MetadataBuffer& buffer) {
  // Text that is not UTF-8 would make the whole answer illegal.
  const std::string_view text = protocol::is_utf8(status.message()) ? status.message() : "";
  const protocol::Status wire{.code = static_cast<protocol::StatusCode>(status.code()),
                              .outcome = static_cast<protocol::Outcome>(status.outcome()),
                              .text = protocol::fit_status_text(text)};
  protocol::MetadataWriter writer(buffer);
  if (!status.ok()) writer.status(wire);
  auto written = writer.finish();
  const auto keep = [&] {
    if (const auto more = writer.finish()) written = more;
  };
  if (!status.details().empty()) {
    writer.put(protocol::MetadataKey::status_detail, status.details().span());
    keep();
  }
  if (pairs != nullptr) {
    write_pairs(writer, *pairs);
    keep();
  }
  return written ? *written : std::span<const std::byte>{};
}

std::shared_ptr<Metadata> pairs_of(const protocol::MetadataView& metadata) {
  std::shared_ptr<Metadata> pairs;
  metadata.for_each_pair([&pairs](std::string_view name, std::string_view value) {
    if (pairs == nullptr) pairs = std::make_shared<Metadata>();
    pairs->add_received(name, value);
  });
  return pairs;
}

Status status_of(const protocol::MetadataView& metadata) {
  const auto wire = metadata.status();
  if (!wire) return {};
  const auto details = metadata.find(protocol::MetadataKey::status_detail);
  return Status(static_cast<StatusCode>(wire->code), wire->text,
                static_cast<Outcome>(wire->outcome), details ? BytesView(*details) : BytesView());
}

Status status_of_failure(const protocol::Event& event, const Link& link) {
  const std::string_view word = protocol::to_string(event.code);
  const std::string text = event.code == protocol::CloseCode::none
                               ? fmt::format("the connection to {} was lost", link.url())
                               : fmt::format("the node ended it: {}", word);
  return Status(static_cast<StatusCode>(event.status), text, static_cast<Outcome>(event.outcome));
}

Status status_of_reset(const protocol::Event& event, const Link& link) {
  if (const auto wire = event.metadata.status()) return status_of(event.metadata);
  const auto code = static_cast<StatusCode>(protocol::caller_status(event.code));
  const std::string text =
      event.code == protocol::CloseCode::none
          ? fmt::format("the connection to {} was lost", link.url())
          : fmt::format("the stream was reset: {}", protocol::to_string(event.code));
  const bool never_ran =
      event.code == protocol::CloseCode::no_service || event.code == protocol::CloseCode::refused;
  return Status(code == StatusCode::ok ? StatusCode::unavailable : code, text,
                never_ran ? Outcome::not_executed : Outcome::maybe_executed);
}

std::string too_large_text(std::size_t bytes, std::size_t bytes_max) {
  if (bytes <= bytes_max) return "the message's metadata is too long";
  return fmt::format("a message of {} bytes is over the node's limit of {}", bytes, bytes_max);
}

std::string duration_text(protocol::Duration duration) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  if (us % 1'000'000 == 0) return fmt::format("{}s", us / 1'000'000);
  if (us % 1'000 == 0) return fmt::format("{}ms", us / 1'000);
  return fmt::format("{}us", us);
}

std::string given_up_text(const Slot& slot, Outcome outcome) {
  const std::string_view known =
      outcome == Outcome::not_executed ? "it was not executed" : "it may have executed";
  if (slot.end_code == StatusCode::deadline_exceeded) {
    return fmt::format("no answer from {} in {}; {}", slot.binding->target,
                       duration_text(slot.time_limit), known);
  }
  return fmt::format("given up by the caller; {}", known);
}

}  // namespace valkyrie::detail
