// Which class the node gives to what passes through it, and how urgent a class each identity may
// ask for: docs/operating/qos.md.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/constants.h"
#include "protocol/metadata.h"

namespace valkyrie::router {

// Conditions, all of which must hold, and the class of what meets them. An empty text is no
// condition.
struct QosRule {
  std::string service;     // A name, or `PREFIX.*` for all below PREFIX.
  std::string method;      // Of that service.
  std::string filter;      // Of the subjects that messages are published to.
  std::string identity;    // A subject, such as `uid:1000`.
  std::string pair_name;   // Of a PAIR of a request, a notify, a PUBLISH or a STREAM_OPEN of kind
  std::string pair_value;  // `stream`, which has this value.
  protocol::QosClass qos_class = protocol::QosClass::data;

  // True if the conditions on service and identity hold, and it is not for published messages.
  [[nodiscard]] bool may_match(std::string_view its_service, std::string_view its_identity) const;
  // True if those on method and PAIR hold.
  [[nodiscard]] bool matches(std::string_view its_method,
                             const protocol::MetadataView& metadata) const;
  // The same of published messages: identity, then subject and PAIR.
  [[nodiscard]] bool may_match_publisher(std::string_view its_identity) const;
  [[nodiscard]] bool matches_published(std::string_view its_subject,
                                       const protocol::MetadataView& metadata) const;

 private:
  [[nodiscard]] bool pair_matches(const protocol::MetadataView& metadata) const;
};

// Reads `SERVICE[/METHOD] subject:FILTER identity:SUBJECT pair:NAME:VALUE`: any of these, each at
// most once, and not both a service and a filter. The error is for people.
[[nodiscard]] std::expected<QosRule, std::string> parse_qos_conditions(std::string_view text);

// The class that a word names; nullopt if none.
[[nodiscard]] std::optional<protocol::QosClass> parse_qos_class(std::string_view word);

// The subject in a value of IDENTITY; empty if the identity is unknown.
[[nodiscard]] std::string_view subject_of(std::string_view identity);

// All rules and ceilings of a node. Not changed while shards use it.
class QosRules {
 public:
  // Adds a rule. Of those that match, the one with most conditions counts, then the one with the
  // longer service or filter; of equals the later.
  void add(QosRule rule);
  // Sets the ceiling of a subject, or with an empty one of all that have none of their own.
  void set_ceiling(std::string_view subject, protocol::QosClass ceiling);

  // The most urgent class that a subject may use.
  [[nodiscard]] protocol::QosClass ceiling_of(std::string_view subject) const;
  // The rules that may match on a stream to this service, the one that counts most first. Valid
  // as long as this object. A version, as in `name@version`, does not matter.
  [[nodiscard]] std::vector<const QosRule*> candidates(std::string_view service,
                                                       std::string_view subject) const;
  // The same for the messages that a subject publishes.
  [[nodiscard]] std::vector<const QosRule*> publisher_candidates(std::string_view subject) const;
  // Ceilings that differ from the common one, by subject.
  [[nodiscard]] const std::map<std::string, protocol::QosClass, std::less<>>& ceilings() const {
    return ceilings_;
  }

 private:
  std::vector<QosRule> rules_;  // The one that counts most first.
  std::map<std::string, protocol::QosClass, std::less<>> ceilings_;
  protocol::QosClass ceiling_ = protocol::QosClass::job;
};

}  // namespace valkyrie::router
