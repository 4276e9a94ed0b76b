// Every message that is published in a world, and every subscription: who got what, in which order,
// and whether what a subscriber missed left a gap that it could see. What cannot be true throws a
// Violation at the moment it is told.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/constants.h"
#include "protocol/event.h"
#include "protocol/time.h"

namespace valkyrie::simulation {

// A `publish` stream: program and stream id.
using OutletId = std::pair<std::uint32_t, std::uint32_t>;

// A message and what became of it.
struct PublishRecord {
  std::uint64_t id = 0;  // Never 0.
  OutletId outlet;
  std::size_t place = 0;  // On its outlet.
  protocol::Instant at{};
  std::string subject;
  std::uint32_t bytes = 0;
  bool acked = false;      // An answer was asked for,
  bool answered = false;   // and came.
  bool refused = false;    // By the node, before anybody got it.
  bool delivered = false;  // To somebody.
};

// A subscription and what has come of it.
struct SubscriptionRecord {
  // The latest message of an outlet.
  struct Latest {
    std::size_t place = 0;
    std::uint32_t sequence = 0;
    std::uint64_t events = 0;  // That had come then, of all outlets.
  };

  std::uint32_t program = 0;
  std::string filter;
  std::string group;
  bool no_echo = false;
  std::uint32_t sequence = 0;  // Of the latest event.
  std::uint64_t events = 0;
  std::map<OutletId, Latest> latest;
  protocol::Instant first_event{};
};

// See the top of the file.
class SubjectBook {
 public:
  // `shards`: of the node. Where there are several, a group may give a message to a member out of
  // order, as another has left.
  explicit SubjectBook(std::uint32_t shards) : shards_(shards) {}

  // A message is about to be published.
  PublishRecord& publish(OutletId outlet, std::string_view subject, std::uint32_t bytes, bool acked,
                         protocol::Instant now);
  // Its session did not take the one before: there is none.
  void not_taken();
  // Its answer came: PUBLISHED, or that it failed.
  void answered(std::uint64_t id, const protocol::Event& event);

  // An event came on a subscription.
  void got(SubscriptionRecord& subscription, const protocol::Event& event, protocol::Instant now);

  // Whether this message or a later one of its outlet has come to a subscription, or this one to a
  // member of its group.
  [[nodiscard]] bool has_got(const SubscriptionRecord& subscription,
                             const PublishRecord& message) const;

  // The record with this number; a Violation if there is none.
  [[nodiscard]] PublishRecord& record(std::uint64_t id);
  // At the end of the world: each message that asked for an answer has one, and every gap showed.
  void check_all_over() const;

  // All there ever were.
  [[nodiscard]] const std::vector<PublishRecord>& messages() const { return messages_; }
  // Events that came, and those that are known to have been lost, since a gap showed.
  [[nodiscard]] std::uint64_t events() const { return events_; }
  [[nodiscard]] std::uint64_t lost() const { return lost_; }

 private:
  // Two messages of an outlet that came to a subscription, one after the other.
  struct Gap {
    std::string filter;
    std::uint32_t program = 0;
    OutletId outlet;
    std::size_t first = 0;  // Places.
    std::size_t last = 0;
    std::uint64_t skipped = 0;  // Numbers, of whatever outlet.
  };

  void note_gap(const SubscriptionRecord& subscription, const SubscriptionRecord::Latest& before,
                const PublishRecord& message, std::uint32_t sequence);
  void check(const Gap& gap) const;

  const std::uint32_t shards_;
  std::vector<PublishRecord> messages_;
  std::map<OutletId, std::vector<std::uint64_t>> outlets_;  // Ids, in order.
  std::map<std::string, std::set<std::uint64_t>> groups_;   // What members got, by filter and name.
  std::vector<Gap> gaps_;  // What was refused in them is known in the end.
  std::uint64_t events_ = 0;
  std::uint64_t lost_ = 0;
};

}  // namespace valkyrie::simulation
