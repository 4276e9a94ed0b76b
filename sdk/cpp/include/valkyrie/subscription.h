// Messages to subjects, and subscriptions to them (docs/spec/publish.md). Delivery is at most once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "valkyrie/bytes.h"
#include "valkyrie/metadata.h"
#include "valkyrie/options.h"
#include "valkyrie/pending.h"
#include "valkyrie/status.h"
#include "valkyrie/stream.h"

namespace valkyrie {

// Where messages go, such as "sensors.kitchen.temperature": 1 to 16 tokens of [A-Za-z0-9_-] with
// dots between, at most 255 bytes. To subscribe, any token may be "*" (one token) and the last ">"
// (one or more). Borrows the text. One that breaks the grammar is invalid_argument, unsent.
class Subject {
 public:
  // Borrows `text`.
  Subject(std::string_view text) noexcept : text_(text) {}
  // Borrows `text`.
  Subject(const char* text) noexcept : text_(text) {}
  // Borrows `text`.
  Subject(const std::string& text) noexcept : text_(text) {}

  // The whole.
  [[nodiscard]] std::string_view text() const noexcept { return text_; }

 private:
  std::string_view text_;
};

// How far a message must have come before its receipt.
enum class AckLevel : std::uint8_t {
  received = 1,  // In the node's memory and matched; what a slow subscriber loses is its loss.
  persisted,     // In a store.
  replicated,    // In the stores of several nodes.
};

// The one word for logs and command lines, such as "received".
[[nodiscard]] std::string_view to_string(AckLevel level);
// The level of that word; nullopt for any other text.
[[nodiscard]] std::optional<AckLevel> ack_level(std::string_view word);

// What the node says of a message that was to be acknowledged.
struct Receipt {
  AckLevel level = AckLevel::received;  // What was reached; at least what was asked for.
};

// How to publish a message. Everything is borrowed until the call returns.
struct PublishOptions {
  // Class and, inside it, order: 0 first, 31 last. Messages of one client and class reach a
  // subscriber in their order; classes overtake each other.
  Qos qos = Qos::data;
  std::uint8_t urgency = kUrgencyInherit;
  // Of publish_acked(): time until the publisher stops waiting for the receipt. 0: 30 s.
  Duration deadline{};
  // Sent along with the message; nullptr: none.
  const Metadata* metadata = nullptr;
};
static_assert(std::is_trivially_destructible_v<PublishOptions>);

// What is lost when a subscriber does not keep up: when both the credit it gave and its queue at
// the node are full.
enum class Overflow : std::uint8_t {
  drop_oldest = 0,  // The oldest messages in the queue; the next Publication says how many.
  drop_newest = 1,  // The new message; likewise.
  reset = 2,        // The subscription: it ends as resource_exhausted.
};

// How to subscribe. Borrowed until the call returns.
struct SubscribeOptions {
  // Subscriptions with the same filter and group share its messages: each goes to one of them. At
  // most 255 bytes; empty: no group.
  std::string_view group{};
  Overflow overflow = Overflow::drop_oldest;
  // Without what this client publishes itself.
  bool no_echo = false;
};
static_assert(std::is_trivially_destructible_v<SubscribeOptions>);

// A message of a subscription, borrowed: valid until the handler that got it returns.
struct PublicationView {
  std::string_view subject;
  BytesView payload;
  // How many messages were lost since the one before, since the subscriber was too slow.
  std::uint64_t missed = 0;
  // The first after the subscription was restored: the connection had been lost, and nobody knows
  // how many messages passed meanwhile.
  bool interrupted = false;
  // For metadata(): what came along, encoded.
  BytesView encoded_metadata{};

  // What the publisher sent along; decoded by each call.
  [[nodiscard]] Metadata metadata() const;
};

// A message of a subscription. Subject and payload share one block of memory.
class Publication {
 public:
  // For the library: `block` is u8 bytes of subject, u16 bytes of metadata, then those and the
  // payload.
  Publication(Bytes block, std::uint64_t missed, bool interrupted) noexcept;

  // What it was published to. Valid as long as this object.
  [[nodiscard]] std::string_view subject() const noexcept;
  // The message.
  [[nodiscard]] const Bytes& payload() const noexcept { return payload_; }
  // As PublicationView says.
  [[nodiscard]] std::uint64_t missed() const noexcept { return missed_; }
  // As PublicationView says.
  [[nodiscard]] bool interrupted() const noexcept { return interrupted_; }
  // What the publisher sent along; decoded by each call.
  [[nodiscard]] Metadata metadata() const;

 private:
  Bytes block_;
  Bytes payload_;
  std::uint64_t missed_;
  bool interrupted_;
};

namespace detail {

// What a Subscription holds on to.
class SubscriptionCore;
struct SubscriptionRelease {
  void operator()(SubscriptionCore* core) const noexcept;  // Unsubscribes, unless it is over.
};
using SubscriptionHandle = std::unique_ptr<SubscriptionCore, SubscriptionRelease>;
using PublicationHandler = std::function<void(const PublicationView&)>;

[[nodiscard]] Operation* subscription_next(SubscriptionCore& core);
void subscription_drain(SubscriptionCore& core) noexcept;
void subscription_cancel(SubscriptionCore& core) noexcept;

template <>
struct Decode<Receipt> {
  static Result<Receipt> from(Delivery& delivery) {
    if (!delivery.status.ok()) return std::unexpected(std::move(delivery.status));
    return Receipt{.level = static_cast<AckLevel>(delivery.number)};
  }
};

template <>
struct Decode<std::optional<Publication>> {
  static Result<std::optional<Publication>> from(Delivery& delivery) {
    if (!delivery.status.ok()) return std::unexpected(std::move(delivery.status));
    if (delivery.end) return std::optional<Publication>{};
    return std::optional<Publication>(std::in_place, std::move(delivery.owned),
                                      delivery.number >> 1, (delivery.number & 1) != 0);
  }
};

}  // namespace detail

// A client's interest in the messages of a filter. Move-only; any thread, but one next() at a time.
// Dropping it unsubscribes.
//
// It survives its connection: the client subscribes again at the next node, and the first message
// from there is `interrupted`. What waits here unread is bounded by the credit of its stream (64
// KiB to begin with); beyond that messages wait at the node, and beyond its queue they are lost as
// SubscribeOptions::overflow says. A node gives up a subscriber that reads nothing for 30 s; unless
// overflow is `reset` the client subscribes again once everything here was read.
class Subscription {
 public:
  // For the library.
  explicit Subscription(detail::SubscriptionHandle core) noexcept : core_(std::move(core)) {}

  // The next message; nullopt once it was drained or unsubscribed; else why it ended:
  // permission_denied if the node refuses the filter, resource_exhausted for Overflow::reset,
  // cancelled after Client::close(). With a handler nothing but that end is ever returned. Dropping
  // the Pending leaves the message for the next call.
  [[nodiscard]] Pending<std::optional<Publication>> next() {
    return Pending<std::optional<Publication>>(detail::subscription_next(*core_));
  }
  // Ends it in order: nothing new is matched; what waits at the node still comes, then the end.
  // Idempotent.
  void drain() { detail::subscription_drain(*core_); }
  // Ends it now; what was not read is dropped. Idempotent.
  void unsubscribe() { detail::subscription_cancel(*core_); }

 private:
  detail::SubscriptionHandle core_;
};

}  // namespace valkyrie
