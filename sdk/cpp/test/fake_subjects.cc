#include "sdk/cpp/test/fake_subjects.h"

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "protocol/metadata.h"
#include "protocol/subject.h"

namespace valkyrie::test {
namespace {

bool matches(std::string_view filter, std::string_view subject) {
  const protocol::SubjectTokens pattern(filter);
  const protocol::SubjectTokens tokens(subject);
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == ">") return tokens.size() > i;
    if (i == tokens.size() || (pattern[i] != "*" && pattern[i] != tokens[i])) return false;
  }
  return pattern.size() == tokens.size();
}

}  // namespace

bool FakeSubjects::on_event(transport::Connection& connection, const protocol::Event& event) {
  const Key key(&connection, event.stream);
  if (event.type == protocol::EventType::stream_opened) {
    if (event.kind != protocol::StreamKind::publish &&
        event.kind != protocol::StreamKind::subscribe) {
      return false;
    }
    on_opened(connection, event);
    return true;
  }
  const auto publisher = publishers_.find(key);
  const bool subscribed = subscriptions_.contains(key);
  if (publisher == publishers_.end() && !subscribed) return false;
  switch (event.type) {
    case protocol::EventType::publish:
      on_publish(connection, publisher->second, event);
      break;
    case protocol::EventType::end:
      if (subscribed) static_cast<void>(connection.session().send_end(event.stream));
      break;
    case protocol::EventType::reset:
    case protocol::EventType::stream_closed:
      publishers_.erase(key);
      subscriptions_.erase(key);
      break;
    default:
      break;
  }
  return true;
}

void FakeSubjects::forget(const transport::Connection& connection) {
  const auto its = [&connection](const auto& entry) { return entry.first.first == &connection; };
  std::erase_if(publishers_, its);
  std::erase_if(subscriptions_, its);
}

void FakeSubjects::lose(std::uint32_t count) {
  for (auto& [key, one] : subscriptions_) one.lose = count;
}

void FakeSubjects::reset(protocol::StreamKind kind, protocol::CloseCode code) {
  if (kind == protocol::StreamKind::publish) {
    for (const auto& [key, subject] : publishers_) key.first->session().reset(key.second, code);
  } else {
    for (const auto& [key, one] : subscriptions_) key.first->session().reset(key.second, code);
  }
}

void FakeSubjects::on_opened(transport::Connection& connection, const protocol::Event& event) {
  const Key key(&connection, event.stream);
  const std::string subject(event.metadata.subject().value_or(""));
  if (event.kind == protocol::StreamKind::publish) {
    publishers_[key] = subject;
    return;
  }
  if (subject.starts_with("forbidden")) {
    return connection.session().reset(event.stream, protocol::CloseCode::forbidden, "not for you");
  }
  ++subscribed_;
  subscriptions_[key] = {.filter = subject,
                         .group = std::string(event.metadata.group().value_or("")),
                         .no_echo = (event.options & protocol::kStreamOptionNoEcho) != 0};
}

void FakeSubjects::on_publish(transport::Connection& connection, const std::string& stream_subject,
                              const protocol::Event& event) {
  ++published_;
  if (event.metadata.subject()) ++subjects_named_;
  if (deaf_) return;
  connection.session().consume(event.stream, event.cost);
  const std::string subject(event.metadata.subject().value_or(stream_subject));
  if (event.correlation != 0) {
    const auto level = event.metadata.octet(protocol::MetadataKey::ack_level).value_or(1);
    std::array<std::byte, 256> buffer;
    protocol::MetadataWriter writer(buffer);
    if (level > 1) {
      writer.status({.code = protocol::StatusCode::failed_precondition,
                     .outcome = protocol::Outcome::not_executed,
                     .text = "no store here"});
    }
    static_cast<void>(connection.session().send_published(
        event.stream, event.correlation, level > 1 ? 0 : 1, writer.finish().value()));
    if (level > 1) return;
  }
  // Of each group, the member that was given least.
  std::map<std::string, std::pair<Key, Subscribed*>> chosen;
  for (auto& [key, one] : subscriptions_) {
    if (!matches(one.filter, subject) || (one.no_echo && key.first == &connection)) continue;
    if (one.group.empty()) {
      give(key, one, subject, event);
      continue;
    }
    auto& [best_key, best] = chosen[one.filter + " " + one.group];
    if (best != nullptr && best->given <= one.given) continue;
    best_key = key;
    best = &one;
  }
  for (auto& [group, member] : chosen) give(member.first, *member.second, subject, event);
}

void FakeSubjects::give(const Key& to, Subscribed& one, std::string_view subject,
                        const protocol::Event& publish) {
  ++one.sequence;
  ++one.given;
  if (one.lose > 0) {
    --one.lose;
    return;
  }
  const auto event = std::make_shared<std::vector<std::byte>>(protocol::kMetadataBytes);
  protocol::MetadataWriter writer(*event);
  writer.put(protocol::MetadataKey::subject, subject);
  publish.metadata.for_each_pair(
      [&writer](std::string_view name, std::string_view value) { writer.pair(name, value); });
  const std::size_t metadata = writer.finish().value().size();
  event->resize(metadata);
  event->insert(event->end(), publish.payload.begin(), publish.payload.end());
  const auto sent = to.first->session().send_event(to.second, one.sequence,
                                                   {.metadata = std::span(*event).first(metadata),
                                                    .payload = std::span(*event).subspan(metadata),
                                                    .qos = publish.qos,
                                                    .owner = event});
  if (sent && sent->waiting) ++waited_;
}

}  // namespace valkyrie::test
