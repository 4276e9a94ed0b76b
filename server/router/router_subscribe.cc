// Subscriptions and groups as they come and go, and what the shards tell each other of them.
#include <algorithm>

#include "server/router/publish_core.h"
#include "server/router/router_core.h"

namespace valkyrie::router {
namespace {

using protocol::Event;
using protocol::EventType;
using Type = ShardMessage::Type;

// No subject, filter or name has a blank.
std::string key_of(std::string_view filter, std::string_view name) {
  std::string key;
  key.reserve(filter.size() + 1 + name.size());
  key.append(filter).append(1, ' ').append(name);
  return key;
}

}  // namespace

void PublishCore::reset(ConnectionId id, std::uint32_t stream, const Refusal& refusal) {
  core_.touch(id)->session->reset(stream, refusal.code, refusal.text);
}

void PublishCore::on_subscribe_opened(ConnectionId id, const Event& event) {
  const std::string_view filter = event.metadata.subject().value_or(std::string_view());
  if (const auto refusal = check_subject_of(filter, SubjectForm::filter)) {
    return reset(id, event.stream, *refusal);
  }
  if (const auto denial = core_.forbidden(id, policy::Action::subscribe, filter, event.metadata)) {
    return reset(id, event.stream, {StatusCode::permission_denied, CloseCode::forbidden, *denial});
  }
  const std::uint64_t made = subscriptions_.make();
  Subscription& subscription = *subscriptions_.find(made);
  subscription.id = made;
  subscription.connection = id;
  subscription.stream = event.stream;
  subscription.filter = filter;
  subscription.policy = event.options & 3U;
  subscription.no_echo = (event.options & protocol::kStreamOptionNoEcho) != 0;
  const auto group = event.metadata.group();
  if (!(group ? join(subscription, *group) : add(subscription, filter))) {
    subscriptions_.erase(made);
    return reset(id, event.stream,
                 {StatusCode::resource_exhausted, CloseCode::refused,
                  "too many filters with wildcards beside each other"});
  }
  if (!group) note_interest(subscription.filter, true);
  core_.touch(id)->session->set_user(event.stream, tagged(Tag::subscription, made));
}

void PublishCore::on_subscription_event(std::uint64_t id, const Event& event) {
  Subscription* subscription = subscriptions_.find(id);
  if (subscription == nullptr) return;
  switch (event.type) {
    case EventType::end:
      unsubscribe(*subscription);
      subscription->ending = true;
      if (!subscription->busy && !subscription->over) pump(*subscription);
      return;
    case EventType::reset:
    case EventType::stream_closed:
      return close(*subscription);
    default:
      return;
  }
}

// No message is for it any more; what waits still goes.
void PublishCore::unsubscribe(Subscription& subscription) {
  if (subscription.group != nullptr) {
    leave(subscription);
  } else if (subscription.is_linked()) {
    remove(subscription);
    note_interest(subscription.filter, false);
  }
}

void PublishCore::close(Subscription& subscription) {
  unsubscribe(subscription);
  drop_all(subscription, *core_.touch(subscription.connection));
  subscriptions_.erase(subscription.id);
}

bool PublishCore::add(Interest& interest, std::string_view filter) {
  if (!table_.add(interest, filter)) return false;
  ++epoch_;
  return true;
}

void PublishCore::remove(Interest& interest) {
  if (interest.is_linked()) {
    table_.remove(interest);
  } else {
    std::erase(loose_, &interest);
  }
  ++epoch_;
}

Group* PublishCore::find_group(std::string_view filter, std::string_view name) {
  const auto known = groups_.find(key_of(filter, name));
  return known == groups_.end() ? nullptr : known->second.get();
}

Group& PublishCore::make_group(std::string_view filter, std::string_view name) {
  auto& group = groups_[key_of(filter, name)];
  group = std::make_unique<Group>();
  group->filter = filter;
  group->name = name;
  group->shares.resize(core_.config_.shards);
  return *group;
}

bool PublishCore::join(Subscription& subscription, std::string_view name) {
  Group* group = find_group(subscription.filter, name);
  if (group == nullptr) {
    group = &make_group(subscription.filter, name);
    if (!add(*group, group->filter)) {
      groups_.erase(key_of(subscription.filter, name));
      return false;
    }
  }
  subscription.group = group;
  subscription.place = static_cast<std::uint32_t>(group->members.size());
  group->members.push_back(&subscription);
  set_ready(subscription, true);
  announce(*group);
  return true;
}

void PublishCore::leave(Subscription& subscription) {
  set_ready(subscription, false);
  Group& group = *subscription.group;
  Subscription* last = group.members.back();
  group.members[subscription.place] = last;
  last->place = subscription.place;
  group.members.pop_back();
  subscription.group = nullptr;
  announce(group);
  drop_if_unused(group);
}

void PublishCore::drop_if_unused(Group& group) {
  const bool elsewhere = std::ranges::any_of(group.shares, &Group::Share::members);
  if (!group.members.empty() || elsewhere) return;
  remove(group);
  std::erase(changed_, &group);
  groups_.erase(key_of(group.filter, group.name));
}

// Moves a member between the ready ones, which come first, and the others.
void PublishCore::set_ready(Subscription& subscription, bool ready) {
  Group* group = subscription.group;
  if (group == nullptr || (subscription.place < group->ready) == ready) return;
  const std::uint32_t place = ready ? group->ready++ : --group->ready;
  Subscription* other = group->members[place];
  std::swap(group->members[place], group->members[subscription.place]);
  other->place = subscription.place;
  subscription.place = place;
  if (core_.config_.shards == 1 || std::exchange(group->changed, true)) return;
  changed_.push_back(group);
}

// Tells the other shards of the members here, if they know otherwise.
void PublishCore::announce(Group& group) {
  const Group::Share now{.members = static_cast<std::uint32_t>(group.members.size()),
                         .ready = group.ready > 0};
  if (now.members == group.announced.members && now.ready == group.announced.ready) return;
  group.announced = now;
  for (std::uint32_t shard = 0; shard < core_.config_.shards; ++shard) {
    if (shard == core_.config_.shard) continue;
    ShardMessage message = core_.letter(Type::group, 0);
    message.number = now.members;
    message.more = now.ready;
    message.body =
        core_.body_of(std::as_bytes(std::span(group.filter)), std::as_bytes(std::span(group.name)));
    core_.post(shard, std::move(message));
  }
}

void PublishCore::end_turn() {
  for (Group* group : changed_) {
    group->changed = false;
    announce(*group);
  }
  changed_.clear();
}

// One subscription more or less of a filter; the other shards hear of the first and the last.
void PublishCore::note_interest(const std::string& filter, bool more) {
  if (core_.config_.shards == 1) return;
  const auto known = filters_.try_emplace(filter, 0).first;
  const std::uint32_t before = known->second;
  known->second = more ? before + 1 : before - 1;
  const std::uint32_t now = known->second;
  if (now == 0) filters_.erase(known);
  if (before > 0 && now > 0) return;
  for (std::uint32_t shard = 0; shard < core_.config_.shards; ++shard) {
    if (shard == core_.config_.shard) continue;
    ShardMessage message = core_.letter(Type::interest, 0);
    message.more = more;
    message.body = core_.body_of({}, std::as_bytes(std::span(filter)));
    core_.post(shard, std::move(message));
  }
}

void PublishCore::on_interest(std::uint32_t from, const ShardMessage& message) {
  const std::string_view filter = as_text(message.body.payload());
  auto& interests = far_filters_[from];
  if (!message.more) {
    const auto known = interests.find(filter);
    remove(*known->second);
    interests.erase(known);
    return;
  }
  auto& interest = interests[std::string(filter)];
  interest = std::make_unique<ShardInterest>();
  interest->shard = from;
  interest->filter = filter;
  add_or_keep_loose(*interest);
}

void PublishCore::on_group(std::uint32_t from, const ShardMessage& message) {
  const std::string_view filter = as_text(message.body.metadata());
  const std::string_view name = as_text(message.body.payload());
  Group* group = find_group(filter, name);
  if (group == nullptr) {
    if (message.number == 0) return;
    group = &make_group(filter, name);
    add_or_keep_loose(*group);
  }
  group->shares[from] = {.members = static_cast<std::uint32_t>(message.number),
                         .ready = message.more};
  drop_if_unused(*group);
}

// What another shard's table took must be found here as well.
void PublishCore::add_or_keep_loose(Interest& interest) {
  if (add(interest, interest.filter)) return;
  loose_.push_back(&interest);
  ++epoch_;
}

void PublishCore::on_message(std::uint32_t from, ShardMessage& message) {
  switch (message.type) {
    case Type::interest:
      return on_interest(from, message);
    case Type::group:
      return on_group(from, message);
    case Type::publication:
      return on_far_publication(message);
    case Type::group_publication:
      return on_far_group_publication(message);
    case Type::publication_credit:
      if (Connection* connection = core_.touch(message.lane)) {
        connection->session->consume(message.stream, message.bytes);
      }
      return;
    default:
      return;
  }
}

void PublishCore::count(RouterCensus& census) const {
  census.publishers = publishers_.size();
  census.subscriptions = subscriptions_.size();
  census.groups = groups_.size();
  census.interests = table_.size() + loose_.size();
  census.events_queued = queued_events_;
  census.event_bytes_queued = queued_bytes_;
}

}  // namespace valkyrie::router
