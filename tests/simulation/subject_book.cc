#include "tests/simulation/subject_book.h"

#include "protocol/subject.h"
#include "tests/simulation/pattern.h"
#include "tests/simulation/violation.h"

namespace valkyrie::simulation {

using protocol::EventType;
using protocol::Outcome;

namespace {

// Longer than shards need to hear of each other's subscriptions.
constexpr protocol::Duration kSettling = std::chrono::seconds(1);

}  // namespace

PublishRecord& SubjectBook::publish(OutletId outlet, std::string_view subject, std::uint32_t bytes,
                                    bool acked, protocol::Instant now) {
  PublishRecord& message = messages_.emplace_back();
  message.id = messages_.size();
  message.outlet = outlet;
  message.subject = subject;
  message.at = now;
  message.bytes = bytes;
  message.acked = acked;
  std::vector<std::uint64_t>& before = outlets_[outlet];
  message.place = before.size();
  before.push_back(message.id);
  return message;
}

void SubjectBook::not_taken() {
  outlets_[messages_.back().outlet].pop_back();
  messages_.pop_back();
}

PublishRecord& SubjectBook::record(std::uint64_t id) {
  require(id > 0 && id <= messages_.size(), "there is no message {}", id);
  return messages_[id - 1];
}

void SubjectBook::answered(std::uint64_t id, const protocol::Event& event) {
  PublishRecord& message = record(id);
  require(message.acked && !message.answered, "message {} was answered twice, or unasked", id);
  message.answered = true;
  const auto status = event.metadata.status().value_or(protocol::Status{});
  const bool failed = event.type == EventType::request_failed;
  const Outcome outcome = failed ? event.outcome : status.outcome;
  message.refused = (failed || event.level == 0) && outcome == Outcome::not_executed;
  require(!message.refused || !message.delivered, "message {} was refused, but somebody got it",
          id);
}

void SubjectBook::got(SubscriptionRecord& subscription, const protocol::Event& event,
                      protocol::Instant now) {
  PublishRecord& message =
      record(id_of(event.metadata.find(kCallKey).value_or(std::span<const std::byte>{})));
  const auto name = [&] {
    return fmt::format("message {} to subscription {} of program {}", message.id,
                       subscription.filter, subscription.program);
  };
  require(event.metadata.subject() == message.subject, "{} came as one to {}", name(),
          event.metadata.subject().value_or("nothing"));
  require(protocol::filter_matches(subscription.filter, message.subject), "{} does not match",
          name());
  require(event.payload.size() == message.bytes && is_pattern(message.id, event.payload),
          "{} has other bytes", name());
  require(!message.refused, "{} came, but was refused", name());
  require(!subscription.no_echo || message.outlet.first != subscription.program, "{} is an echo",
          name());
  require(event.correlation > subscription.sequence, "{}: sequence {} after {}", name(),
          event.correlation, subscription.sequence);
  message.delivered = true;
  ++events_;
  if (subscription.events++ == 0) subscription.first_event = now;
  subscription.sequence = event.correlation;
  if (!subscription.group.empty()) {
    const bool is_new =
        groups_[subscription.filter + " " + subscription.group].insert(message.id).second;
    require(is_new, "{} came to a second member of its group", name());
    if (shards_ > 1) return;
  }
  const auto before = subscription.latest.find(message.outlet);
  if (before != subscription.latest.end()) {
    require(message.place > before->second.place, "{} came twice, or out of order", name());
    if (subscription.group.empty()) {
      note_gap(subscription, before->second, message, event.correlation);
    }
  }
  subscription.latest[message.outlet] = {
      .place = message.place, .sequence = event.correlation, .events = subscription.events};
}

bool SubjectBook::has_got(const SubscriptionRecord& subscription,
                          const PublishRecord& message) const {
  if (!subscription.group.empty()) {
    const auto group = groups_.find(subscription.filter + " " + subscription.group);
    return group != groups_.end() && group->second.contains(message.id);
  }
  const auto latest = subscription.latest.find(message.outlet);
  return latest != subscription.latest.end() && latest->second.place >= message.place;
}

void SubjectBook::note_gap(const SubscriptionRecord& subscription,
                           const SubscriptionRecord::Latest& before, const PublishRecord& message,
                           std::uint32_t sequence) {
  const std::uint64_t numbers = sequence - before.sequence;
  const Gap gap{.filter = subscription.filter,
                .program = subscription.program,
                .outlet = message.outlet,
                .first = before.place,
                .last = message.place,
                .skipped = numbers - (subscription.events - before.events)};
  lost_ += gap.skipped;
  // Until all shards know of a subscription some of what it matches may pass it by.
  const std::uint64_t first = outlets_[message.outlet][gap.first];
  if (messages_[first - 1].at < subscription.first_event + kSettling) return;
  if (gap.last - gap.first - 1 > gap.skipped) gaps_.push_back(gap);
}

// Of what one publisher sent between two messages that came, no more is missing than numbers.
void SubjectBook::check(const Gap& gap) const {
  const std::vector<std::uint64_t>& sent = outlets_.at(gap.outlet);
  std::uint64_t missing = 0;
  for (std::size_t place = gap.first + 1; place < gap.last; ++place) {
    const PublishRecord& message = messages_[sent[place] - 1];
    if (!message.refused && protocol::filter_matches(gap.filter, message.subject)) ++missing;
  }
  require(missing <= gap.skipped,
          "subscription {} of program {} misses {} messages of program {}, but only {} numbers",
          gap.filter, gap.program, missing, gap.outlet.first, gap.skipped);
}

void SubjectBook::check_all_over() const {
  for (const PublishRecord& message : messages_) {
    require(!message.acked || message.answered, "message {} to {} has no answer", message.id,
            message.subject);
    require(!message.refused || !message.delivered, "message {} was refused, but somebody got it",
            message.id);
  }
  for (const Gap& gap : gaps_) check(gap);
}

}  // namespace valkyrie::simulation
