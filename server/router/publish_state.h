// What a router keeps for publishers, subscriptions and messages between them. Private to this
// folder.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/router/router_state.h"
#include "server/router/subject_table.h"

namespace valkyrie::router {

// A message that has to wait for a subscriber, or goes to another shard. Immutable and shared:
// however many have it in a queue, it is there once.
struct Publication {
  std::vector<std::byte> bytes;  // Metadata of the EVENT, SUBJECT first; then the payload.
  std::uint32_t metadata_bytes = 0;
  std::uint8_t qos = protocol::kQosDefault;
  // Its publisher, to whom `cost` bytes of credit return when no other shard has it to take.
  std::uint32_t shard = 0;
  std::uint32_t stream = 0;
  std::uint32_t cost = 0;
  ConnectionId connection = 0;
  mutable std::atomic<std::uint32_t> untaken{0};

  [[nodiscard]] std::span<const std::byte> metadata() const {
    return std::span(bytes).first(metadata_bytes);
  }
  [[nodiscard]] std::span<const std::byte> payload() const {
    return std::span(bytes).subspan(metadata_bytes);
  }
};

// A `publish` stream.
struct Matches;
struct Publisher {
  std::uint64_t id = 0;
  ConnectionId connection = 0;
  std::uint32_t stream = 0;
  std::uint8_t level = 1;                 // ACK_LEVEL of the STREAM_OPEN.
  std::string subject;                    // Of the STREAM_OPEN; may be empty.
  std::vector<const QosRule*> qos_rules;  // That may match its messages.
  // The last look-up; good for as long as nothing has changed.
  std::string last_subject;
  const Matches* last_matches = nullptr;
  std::uint64_t last_epoch = 0;
};

// Something that a filter leads to.
struct Interest : SubjectEntry {
  enum class Kind : std::uint8_t { subscription, group, shard };
  explicit Interest(Kind interest_kind) : kind(interest_kind) {}

  const Kind kind;
  std::string filter;
};

struct Group;

// A `subscribe` stream.
struct Subscription : Interest {
  struct Waiting {
    std::shared_ptr<const Publication> publication;
    std::uint32_t sequence = 0;
  };
  Subscription() : Interest(Kind::subscription) {}

  std::uint64_t id = 0;
  ConnectionId connection = 0;
  Group* group = nullptr;
  std::uint32_t place = 0;  // In Group::members.
  std::uint32_t stream = 0;
  std::uint32_t sequence = 0;  // Of the last match.
  std::uint8_t policy = protocol::kStreamOptionDropOldest;
  bool no_echo = false;
  bool busy = false;    // An event waits in the session, so the next ones wait here.
  bool ending = false;  // The subscriber has sent END.
  bool over = false;    // Reset here: its last event is to come.
  std::deque<Waiting> queue;
  std::uint64_t queued_bytes = 0;
};

// Subscriptions of one filter that share its messages, on all shards.
struct Group : Interest {
  // What another shard said of its members.
  struct Share {
    std::uint32_t members = 0;
    bool ready = false;  // One of them can take a message at once.
  };
  Group() : Interest(Kind::group) {}

  std::string name;
  std::vector<Subscription*> members;  // Of this shard; those that can take a message at once
  std::uint32_t ready = 0;             // are the first so many.
  std::uint64_t turn = 0;
  std::vector<Share> shares;  // Of the other shards.
  Share announced;            // What they were told of this one.
  bool changed = false;       // In the list of groups to tell of.
};

// Another shard has subscriptions of a filter.
struct ShardInterest : Interest {
  ShardInterest() : Interest(Kind::shard) {}

  std::uint32_t shard = 0;
};

// Who gets the messages of a subject.
struct Matches {
  std::uint64_t epoch = 0;
  std::vector<Subscription*> subscriptions;
  std::vector<Group*> groups;
  std::vector<std::uint32_t> shards;
};

}  // namespace valkyrie::router
