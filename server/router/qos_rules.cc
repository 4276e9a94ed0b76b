#include "server/router/qos_rules.h"

#include <algorithm>
#include <fmt/format.h>
#include <tuple>

#include "protocol/subject.h"

namespace valkyrie::router {
namespace {

constexpr std::string_view kBelow = ".*";

// More conditions first, then the longer name.
auto weight_of(const QosRule& rule) {
  const auto conditions =
      static_cast<int>(!rule.service.empty()) + static_cast<int>(!rule.method.empty()) +
      static_cast<int>(!rule.filter.empty()) + static_cast<int>(!rule.identity.empty()) +
      static_cast<int>(!rule.pair_name.empty());
  const bool exact =
      !rule.service.ends_with(kBelow) && rule.filter.find_first_of("*>") == std::string::npos;
  return std::tuple(conditions, exact, rule.service.size() + rule.filter.size());
}

std::expected<void, std::string> add_condition(std::string_view word, QosRule& rule) {
  const auto twice = [&] { return std::unexpected(fmt::format("{} is one too many", word)); };
  constexpr std::string_view kIdentity = "identity:";
  constexpr std::string_view kPair = "pair:";
  constexpr std::string_view kSubject = "subject:";
  if (word.starts_with(kSubject)) {
    if (!rule.filter.empty()) return twice();
    rule.filter = word.substr(kSubject.size());
    const auto error = protocol::check_subject(rule.filter, protocol::SubjectForm::filter);
    if (!error) return {};
    return std::unexpected(fmt::format("\"{}\": {}", rule.filter, to_string(*error)));
  }
  if (word.starts_with(kIdentity)) {
    if (!rule.identity.empty()) return twice();
    rule.identity = word.substr(kIdentity.size());
    if (rule.identity.empty()) return std::unexpected("write identity:SUBJECT");
    return {};
  }
  if (word.starts_with(kPair)) {
    if (!rule.pair_name.empty()) return twice();
    const std::string_view pair = word.substr(kPair.size());
    const std::size_t colon = pair.find(':');
    if (colon == 0 || colon == std::string_view::npos) {
      return std::unexpected("write pair:NAME:VALUE");
    }
    rule.pair_name = pair.substr(0, colon);
    rule.pair_value = pair.substr(colon + 1);
    return {};
  }
  if (!rule.service.empty()) return twice();
  const std::size_t slash = word.find('/');
  rule.service = word.substr(0, slash);
  if (slash != std::string_view::npos) rule.method = word.substr(slash + 1);
  if (rule.service.empty() || (slash != std::string_view::npos && rule.method.empty())) {
    return std::unexpected(fmt::format("\"{}\": write SERVICE or SERVICE/METHOD", word));
  }
  return {};
}

}  // namespace

bool QosRule::may_match(std::string_view its_service, std::string_view its_identity) const {
  if (!filter.empty() || (!identity.empty() && identity != its_identity)) return false;
  if (service.empty()) return true;
  if (service.ends_with(kBelow)) {
    const std::string_view prefix = std::string_view(service).substr(0, service.size() - 1);
    return its_service.starts_with(prefix);
  }
  return service == its_service;
}

bool QosRule::matches(std::string_view its_method, const protocol::MetadataView& metadata) const {
  return (method.empty() || method == its_method) && pair_matches(metadata);
}

bool QosRule::may_match_publisher(std::string_view its_identity) const {
  return service.empty() && (identity.empty() || identity == its_identity);
}

bool QosRule::matches_published(std::string_view its_subject,
                                const protocol::MetadataView& metadata) const {
  return (filter.empty() || protocol::filter_matches(filter, its_subject)) &&
         pair_matches(metadata);
}

bool QosRule::pair_matches(const protocol::MetadataView& metadata) const {
  if (pair_name.empty()) return true;
  const auto value = metadata.pair(pair_name);
  return value && *value == pair_value;
}

std::expected<QosRule, std::string> parse_qos_conditions(std::string_view text) {
  QosRule rule;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    if (end > at) {
      if (auto added = add_condition(text.substr(at, end - at), rule); !added) {
        return std::unexpected(std::move(added.error()));
      }
    }
    at = end + 1;
  }
  if (!rule.service.empty() && !rule.filter.empty()) {
    return std::unexpected("a call has no subject: give a rule SERVICE or subject:FILTER");
  }
  if (rule.service.empty() && rule.filter.empty() && rule.identity.empty() &&
      rule.pair_name.empty()) {
    return std::unexpected(
        "a rule needs SERVICE, subject:FILTER, identity:SUBJECT or pair:NAME:VALUE");
  }
  return rule;
}

std::optional<protocol::QosClass> parse_qos_class(std::string_view word) {
  for (std::uint8_t i = 0; i < protocol::kClassWeights.size(); ++i) {
    if (protocol::to_string(static_cast<protocol::QosClass>(i)) == word) {
      return static_cast<protocol::QosClass>(i);
    }
  }
  return std::nullopt;
}

std::string_view subject_of(std::string_view identity) {
  if (identity.size() < 2) return {};
  const auto tenant = static_cast<std::uint8_t>(identity[1]);
  return identity.substr(std::min<std::size_t>(identity.size(), 2U + tenant));
}

void QosRules::add(QosRule rule) {
  const auto at = std::ranges::find_if(
      rules_, [&](const QosRule& other) { return weight_of(other) <= weight_of(rule); });
  rules_.insert(at, std::move(rule));
}

void QosRules::set_ceiling(std::string_view subject, protocol::QosClass ceiling) {
  if (subject.empty()) {
    ceiling_ = ceiling;
  } else {
    ceilings_.insert_or_assign(std::string(subject), ceiling);
  }
}

protocol::QosClass QosRules::ceiling_of(std::string_view subject) const {
  const auto found = ceilings_.find(subject);
  return found == ceilings_.end() ? ceiling_ : found->second;
}

std::vector<const QosRule*> QosRules::candidates(std::string_view service,
                                                 std::string_view subject) const {
  service = service.substr(0, service.find('@'));
  std::vector<const QosRule*> found;
  for (const QosRule& rule : rules_) {
    if (rule.may_match(service, subject)) found.push_back(&rule);
  }
  return found;
}

std::vector<const QosRule*> QosRules::publisher_candidates(std::string_view subject) const {
  std::vector<const QosRule*> found;
  for (const QosRule& rule : rules_) {
    if (rule.may_match_publisher(subject)) found.push_back(&rule);
  }
  return found;
}

}  // namespace valkyrie::router
