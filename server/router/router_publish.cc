// Messages from their publisher to those whose filters match.
#include <algorithm>

#include "server/router/publish_core.h"
#include "server/router/router_core.h"

namespace valkyrie::router {
namespace {

using protocol::Event;
using protocol::EventType;
using protocol::MetadataKey;
using protocol::MetadataView;
using protocol::MetadataWriter;
using Type = ShardMessage::Type;

// Subjects whose matches are remembered, and how many interests they have all together (8 bytes
// each). Beyond, all are forgotten: the next messages are matched anew.
constexpr std::size_t kCachedSubjectsMax = 4096;
constexpr std::size_t kCachedInterestsMax = 1U << 18U;

// A publisher's own members of a group that want no echo are at most as many as it has streams.
constexpr std::size_t kMembersTriedMax = protocol::kPeerStreamsDefault + 1;

constexpr std::uint8_t kLevelReceived = 1;

// The message that came. Its place in the ring would hold it until the ring has gone round.
std::shared_ptr<const Publication> taken(ShardMessage& message) {
  return std::move(message.publication);
}

}  // namespace

PublishCore::PublishCore(RouterCore& core, std::uint64_t seed)
    : core_(core),
      table_(seed),
      groups_(0, SubjectHash{&table_}),
      filters_(0, SubjectHash{&table_}),
      cache_(0, SubjectHash{&table_}),
      scratch_(protocol::kMetadataBytes) {
  far_filters_.reserve(core.config_.shards);
  for (std::uint32_t shard = 0; shard < core.config_.shards; ++shard) {
    far_filters_.emplace_back(0, SubjectHash{&table_});
  }
}

std::optional<PublishCore::Refusal> PublishCore::check_subject_of(std::string_view subject,
                                                                  SubjectForm form) {
  if (const auto error = check_subject(subject, form)) {
    return Refusal{StatusCode::invalid_argument, CloseCode::bad_metadata, to_string(*error)};
  }
  if (is_node_subject(subject)) {
    return Refusal{StatusCode::permission_denied, CloseCode::forbidden,
                   "subjects that begin with \"valkyrie\" are the node's"};
  }
  return std::nullopt;
}

void PublishCore::on_publish_opened(ConnectionId id, const Event& event) {
  const std::string_view subject = event.metadata.subject().value_or(std::string_view());
  if (!subject.empty()) {
    if (const auto refusal = check_subject_of(subject, SubjectForm::subject)) {
      return reset(id, event.stream, *refusal);
    }
  }
  const std::uint64_t made = publishers_.make();
  Publisher& publisher = *publishers_.find(made);
  publisher.id = made;
  publisher.connection = id;
  publisher.stream = event.stream;
  publisher.subject = subject;
  publisher.qos_rules = core_.publisher_qos_rules(id);
  publisher.level = event.metadata.octet(MetadataKey::ack_level).value_or(kLevelReceived);
  core_.touch(id)->session->set_user(event.stream, tagged(Tag::publisher, made));
}

void PublishCore::on_publisher_event(std::uint64_t id, const Event& event) {
  Publisher* publisher = publishers_.find(id);
  if (publisher == nullptr) return;
  if (event.type == EventType::publish) return on_publish(*publisher, event);
  // The session answers END by itself, after the last acknowledgement.
  if (event.type == EventType::reset || event.type == EventType::stream_closed) {
    publishers_.erase(id);
  }
}

std::optional<PublishCore::Refusal> PublishCore::check(const Publisher& publisher,
                                                       const Event& event, std::string_view subject,
                                                       bool is_known) const {
  if (core_.draining) {
    return Refusal{StatusCode::unavailable, CloseCode::draining,
                   "this node is draining; publish to another"};
  }
  if (!is_known) {
    if (const auto refusal = check_subject_of(subject, SubjectForm::subject)) return refusal;
  }
  if (const auto denial =
          core_.forbidden(publisher.connection, policy::Action::publish, subject, event.metadata)) {
    return Refusal{StatusCode::permission_denied, CloseCode::forbidden, *denial};
  }
  if (const auto limit = core_.over_rate(publisher.connection)) {
    return Refusal{StatusCode::resource_exhausted, CloseCode::refused, *limit};
  }
  if (event.correlation == 0) return std::nullopt;
  const auto level = event.metadata.octet(MetadataKey::ack_level).value_or(publisher.level);
  if (level <= kLevelReceived) return std::nullopt;
  return Refusal{StatusCode::failed_precondition, CloseCode::none,
                 "messages are not stored: persisted and replicated are not available here"};
}

void PublishCore::refuse(Publisher& publisher, const Event& event, const Refusal& refusal) {
  ++core_.stats.publishes_refused;
  protocol::Session& session = *core_.touch(publisher.connection)->session;
  session.consume(event.stream, event.cost);
  if (event.correlation == 0) return session.reset(event.stream, refusal.code, refusal.text);
  std::array<std::byte, protocol::kEntryHeaderBytes + protocol::kStatusBytesMax> buffer;
  MetadataWriter writer(buffer);
  writer.status({.code = refusal.status, .outcome = Outcome::not_executed, .text = refusal.text});
  static_cast<void>(session.send_published(event.stream, event.correlation, 0, *writer.finish()));
}

void PublishCore::on_publish(Publisher& publisher, const Event& event) {
  ++core_.stats.published;
  const std::string_view subject = event.metadata.subject().value_or(publisher.subject);
  const bool is_known = publisher.last_epoch == epoch_ && publisher.last_subject == subject;
  if (const auto refusal = check(publisher, event, subject, is_known)) {
    return refuse(publisher, event, *refusal);
  }
  if (!is_known) {
    publisher.last_matches = &look_up(subject);
    publisher.last_epoch = epoch_;
    publisher.last_subject = subject;
  }
  Outbound message{.metadata = event_metadata(event.metadata, publisher.last_subject),
                   .payload = event.payload,
                   .qos = core_.published_qos(publisher, subject, event),
                   .publisher = publisher.connection,
                   .stream = event.stream,
                   .cost = event.cost};
  fan_out(*publisher.last_matches, message);
  protocol::Session& session = *core_.touch(publisher.connection)->session;
  if (event.correlation != 0) {
    static_cast<void>(session.send_published(event.stream, event.correlation, kLevelReceived));
  }
  const bool is_far = message.shared != nullptr && message.shared->cost > 0;
  if (is_far) return settle(*message.shared);
  session.consume(event.stream, event.cost);
}

// SUBJECT and the end-to-end entries. Mostly those that came, as they are.
std::span<const std::byte> PublishCore::event_metadata(const MetadataView& from,
                                                       std::string_view subject) {
  const std::size_t hop_bytes = from.bytes().size() - from.end_bytes().size();
  if (!from.has_node_pair() && hop_bytes == protocol::kEntryHeaderBytes + subject.size() &&
      from.subject()) {
    return from.bytes();
  }
  std::array<std::byte, protocol::kEntryHeaderBytes + protocol::kSubjectBytesMax> hop;
  MetadataWriter writer(hop);
  writer.put(MetadataKey::subject, subject);
  const auto entries = writer.finish();
  VALKYRIE_ASSERT(entries.has_value());
  const auto size =
      rewrite_for_next_hop(from, *entries, protocol::PairTrust::strip_node_pairs, scratch_);
  VALKYRIE_ASSERT(size.has_value());
  return std::span<const std::byte>(scratch_).first(*size);
}

const Matches& PublishCore::look_up(std::string_view subject) {
  const auto known = cache_.find(subject);
  if (known != cache_.end() && known->second.epoch == epoch_) return known->second;
  if (cache_.size() >= kCachedSubjectsMax || cached_interests_ >= kCachedInterestsMax) {
    cache_.clear();
    cached_interests_ = 0;
    ++epoch_;
  }
  Matches& matches = cache_.try_emplace(std::string(subject)).first->second;
  collect(subject, matches);
  return matches;
}

void PublishCore::collect(std::string_view subject, Matches& matches) {
  cached_interests_ -= matches.subscriptions.size() + matches.groups.size();
  matches.epoch = epoch_;
  matches.subscriptions.clear();
  matches.groups.clear();
  matches.shards.clear();
  found_.clear();
  table_.match(subject, found_);
  for (Interest* interest : loose_) {
    if (filter_matches(interest->filter, subject)) found_.push_back(interest);
  }
  for (SubjectEntry* entry : found_) {
    auto* interest = static_cast<Interest*>(entry);
    switch (interest->kind) {
      case Interest::Kind::subscription:
        matches.subscriptions.push_back(static_cast<Subscription*>(interest));
        break;
      case Interest::Kind::group:
        matches.groups.push_back(static_cast<Group*>(interest));
        break;
      case Interest::Kind::shard: {
        const std::uint32_t shard = static_cast<ShardInterest*>(interest)->shard;
        if (std::ranges::find(matches.shards, shard) == matches.shards.end()) {
          matches.shards.push_back(shard);
        }
        break;
      }
    }
  }
  cached_interests_ += matches.subscriptions.size() + matches.groups.size();
}

// Gives a message to all that its publisher's shard knows of.
void PublishCore::fan_out(const Matches& matches, Outbound& message) {
  for (Subscription* subscription : matches.subscriptions) {
    if (subscription->no_echo && subscription->connection == message.publisher) continue;
    deliver(*subscription, message);
  }
  for (Group* group : matches.groups) deliver_to_group(*group, message, 0);
  for (const std::uint32_t shard : matches.shards) {
    ShardMessage far = core_.letter(Type::publication, 0);
    far.publication = share_far(message);
    core_.post(shard, std::move(far));
  }
}

const std::shared_ptr<Publication>& PublishCore::share(Outbound& message) const {
  if (message.shared != nullptr) return message.shared;
  message.shared = std::make_shared<Publication>();
  Publication& publication = *message.shared;
  publication.bytes.reserve(message.metadata.size() + message.payload.size());
  publication.bytes.assign(message.metadata.begin(), message.metadata.end());
  publication.bytes.insert(publication.bytes.end(), message.payload.begin(), message.payload.end());
  publication.metadata_bytes = static_cast<std::uint32_t>(message.metadata.size());
  publication.qos = message.qos;
  publication.shard = core_.config_.shard;
  publication.stream = message.stream;
  publication.connection = message.publisher;
  message.metadata = publication.metadata();
  message.payload = publication.payload();
  return message.shared;
}

// The same for one more shard. This shard counts as one until it has posted to all, lest the credit
// return twice.
const std::shared_ptr<Publication>& PublishCore::share_far(Outbound& message) const {
  const auto& shared = share(message);
  if (message.cost > 0 && shared->cost == 0) {
    shared->cost = message.cost;
    shared->untaken.store(1, std::memory_order_relaxed);
  }
  shared->untaken.fetch_add(1, std::memory_order_relaxed);
  return shared;
}

// One member gets it: one that can take it at once, wherever it is, else any. On a shard that was
// chosen it is one of its own; only if they have all left another shard gets it.
void PublishCore::deliver_to_group(Group& group, Outbound& message, std::uint32_t hops) {
  for (const bool ready_only : {true, false}) {
    const std::uint64_t local = ready_only ? group.ready : group.members.size();
    std::uint64_t far = 0;
    for (const Group::Share& share : group.shares) {
      if (!ready_only || share.ready) far += share.members;
    }
    const bool to_far =
        far > 0 && (hops == 0 || group.members.empty()) && hops + 1 < core_.config_.shards;
    if (!to_far) far = 0;
    if (local + far == 0) continue;
    const std::uint64_t turn = group.turn++ % (local + far);
    if (turn < local || far == 0) {
      if (Subscription* member = choose_member(group, message.publisher, ready_only)) {
        return deliver(*member, message);
      }
    }
    if (far == 0) continue;
    const std::uint32_t shard = choose_shard(group, ready_only, turn < local ? 0 : turn - local);
    return post_group(shard, group, share_far(message), hops + 1);
  }
  if (hops > 0) ++core_.stats.events_dropped;  // All have left meanwhile.
}

// The next member of this shard that wants what this connection publishes.
Subscription* PublishCore::choose_member(Group& group, ConnectionId publisher, bool ready_only) {
  const std::size_t count = ready_only ? group.ready : group.members.size();
  for (std::size_t tried = 0; tried < std::min(count, kMembersTriedMax); ++tried) {
    Subscription* member = group.members[(group.turn + tried) % count];
    if (!member->over && !(member->no_echo && member->connection == publisher)) return member;
  }
  return nullptr;
}

// The shard of the `turn`-th member of other shards. REQUIRES: there are so many.
std::uint32_t PublishCore::choose_shard(Group& group, bool ready_only, std::uint64_t turn) const {
  for (std::uint32_t shard = 0; shard < group.shares.size(); ++shard) {
    const Group::Share& share = group.shares[shard];
    if (ready_only && !share.ready) continue;
    if (turn < share.members) return shard;
    turn -= share.members;
  }
  VALKYRIE_ASSERT(false);
  return 0;
}

void PublishCore::post_group(std::uint32_t shard, const Group& group,
                             std::shared_ptr<const Publication> publication, std::uint32_t hops) {
  ShardMessage far = core_.letter(Type::group_publication, 0);
  far.number = hops;
  far.body =
      core_.body_of(std::as_bytes(std::span(group.filter)), std::as_bytes(std::span(group.name)));
  far.publication = std::move(publication);
  core_.post(shard, std::move(far));
}

void PublishCore::on_far_publication(ShardMessage& message) {
  const auto publication = taken(message);
  const auto metadata = protocol::parse_metadata(
      publication->metadata(), protocol::FrameType::event, protocol::MetadataReader::relay);
  VALKYRIE_ASSERT(metadata.has_value());
  Outbound outbound{.metadata = publication->metadata(),
                    .payload = publication->payload(),
                    .qos = publication->qos,
                    .shared = std::const_pointer_cast<Publication>(publication)};
  for (Subscription* subscription : look_up(*metadata->subject()).subscriptions) {
    deliver(*subscription, outbound);
  }
  settle(*publication);
}

void PublishCore::on_far_group_publication(ShardMessage& message) {
  const auto publication = taken(message);
  Outbound outbound{.metadata = publication->metadata(),
                    .payload = publication->payload(),
                    .qos = publication->qos,
                    .shared = std::const_pointer_cast<Publication>(publication)};
  Group* group = find_group(as_text(message.body.metadata()), as_text(message.body.payload()));
  if (group == nullptr) {
    ++core_.stats.events_dropped;
  } else {
    deliver_to_group(*group, outbound, static_cast<std::uint32_t>(message.number));
  }
  settle(*publication);
}

// A shard has taken what it was sent; the last one returns the publisher's credit.
void PublishCore::settle(const Publication& publication) {
  if (publication.untaken.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (publication.shard == core_.config_.shard) {
    if (Connection* connection = core_.touch(publication.connection)) {
      connection->session->consume(publication.stream, publication.cost);
    }
    return;
  }
  core_.owe(publication.shard, Type::publication_credit, publication.connection, publication.stream,
            publication.cost);
}

}  // namespace valkyrie::router
