#include "server/router/qos_rules.h"

#include <array>
#include <gtest/gtest.h>

namespace valkyrie::router {
namespace {

using protocol::MetadataView;
using protocol::QosClass;

QosRule rule(std::string_view conditions, QosClass qos_class) {
  auto parsed = parse_qos_conditions(conditions);
  EXPECT_TRUE(parsed.has_value()) << conditions;
  parsed->qos_class = qos_class;
  return *parsed;
}

// The class of the first rule that matches, as the router asks for it.
std::optional<QosClass> class_of(const QosRules& rules, std::string_view service,
                                 std::string_view method, std::string_view subject = {},
                                 const MetadataView& metadata = {}) {
  for (const QosRule* each : rules.candidates(service, subject)) {
    if (each->matches(method, metadata)) return each->qos_class;
  }
  return std::nullopt;
}

TEST(QosRules, match_services_prefixes_methods_and_identities) {
  QosRules rules;
  rules.add(rule("hello.*", QosClass::telemetry));
  rules.add(rule("hello.Greeter", QosClass::job));
  rules.add(rule("hello.*/Slow", QosClass::data));
  rules.add(rule("identity:uid:7", QosClass::system));
  EXPECT_EQ(class_of(rules, "hello.Other", "M"), QosClass::telemetry);
  EXPECT_EQ(class_of(rules, "hello.a.b", "M"), QosClass::telemetry) << "at any depth";
  EXPECT_EQ(class_of(rules, "hello", "M"), std::nullopt) << "only below it";
  EXPECT_EQ(class_of(rules, "hellos.X", "M"), std::nullopt);
  EXPECT_EQ(class_of(rules, "hello.Greeter", "M"), QosClass::job) << "a name before a prefix";
  EXPECT_EQ(class_of(rules, "hello.Greeter@2", "M"), QosClass::job) << "of any version";
  EXPECT_EQ(class_of(rules, "hello.Greeter", "Slow"), QosClass::data) << "two conditions";
  EXPECT_EQ(class_of(rules, "other.X", "M", "uid:7"), QosClass::system);
  EXPECT_EQ(class_of(rules, "other.X", "M", "uid:70"), std::nullopt);
}

TEST(QosRules, match_a_pair_of_the_metadata) {
  QosRules rules;
  rules.add(rule("pair:batch:yes", QosClass::telemetry));
  std::array<std::byte, 64> buffer;
  protocol::MetadataWriter writer(buffer);
  writer.pair("batch", "yes");
  const auto bytes = writer.finish();
  ASSERT_TRUE(bytes.has_value());
  const auto metadata = protocol::parse_metadata(*bytes, protocol::FrameType::request,
                                                 protocol::MetadataReader::relay);
  ASSERT_TRUE(metadata.has_value());
  EXPECT_EQ(class_of(rules, "any.Service", "M", {}, *metadata), QosClass::telemetry);
  EXPECT_EQ(class_of(rules, "any.Service", "M"), std::nullopt);
}

std::optional<QosClass> class_published(const QosRules& rules, std::string_view subject,
                                        std::string_view identity = {},
                                        const MetadataView& metadata = {}) {
  for (const QosRule* each : rules.publisher_candidates(identity)) {
    if (each->matches_published(subject, metadata)) return each->qos_class;
  }
  return std::nullopt;
}

TEST(QosRules, match_what_is_published_by_subject_and_identity) {
  QosRules rules;
  rules.add(rule("subject:logs.>", QosClass::telemetry));
  rules.add(rule("subject:logs.alarm", QosClass::critical));
  rules.add(rule("subject:logs.> identity:uid:7", QosClass::job));
  rules.add(rule("identity:uid:8", QosClass::system));
  rules.add(rule("any.Service", QosClass::data));
  EXPECT_EQ(class_published(rules, "logs.a.b"), QosClass::telemetry);
  EXPECT_EQ(class_published(rules, "logs"), std::nullopt) << "only below it";
  EXPECT_EQ(class_published(rules, "logs.alarm"), QosClass::critical) << "a name before a filter";
  EXPECT_EQ(class_published(rules, "logs.alarm", "uid:7"), QosClass::job) << "two conditions";
  EXPECT_EQ(class_published(rules, "other", "uid:8"), QosClass::system);
  EXPECT_EQ(class_of(rules, "logs.alarm", "M"), std::nullopt) << "a service is no subject";
}

TEST(QosRules, of_equal_rules_the_later_counts) {
  QosRules rules;
  rules.add(rule("a.B", QosClass::job));
  rules.add(rule("a.B", QosClass::telemetry));
  EXPECT_EQ(class_of(rules, "a.B", "M"), QosClass::telemetry);
}

TEST(QosRules, ceilings_are_of_a_subject_or_of_all_others) {
  QosRules rules;
  EXPECT_EQ(rules.ceiling_of("uid:1"), QosClass::job) << "unless set";
  rules.set_ceiling("", QosClass::data);
  rules.set_ceiling("uid:1", QosClass::critical);
  EXPECT_EQ(rules.ceiling_of("uid:1"), QosClass::critical);
  EXPECT_EQ(rules.ceiling_of("uid:10"), QosClass::data);
  EXPECT_EQ(rules.ceiling_of(""), QosClass::data) << "an unknown identity is all others";
}

TEST(QosRules, conditions_that_say_nothing_or_too_much_are_errors) {
  for (const char* text : {"", " ", "/M", "a.B/", "a.B a.C", "identity:", "pair:x", "pair::v",
                           "pair:x:1 pair:y:2", "identity:a identity:b", "subject:", "subject:a..b",
                           "subject:a*", "subject:a subject:b", "a.B subject:a"}) {
    EXPECT_FALSE(parse_qos_conditions(text).has_value()) << text;
  }
}

TEST(QosRules, a_subject_stands_behind_method_and_tenant) {
  using namespace std::string_view_literals;
  EXPECT_EQ(subject_of("\x01\x00uid:5"sv), "uid:5");
  EXPECT_EQ(subject_of("\x01\x03"
                       "abcme"sv),
            "me");
  EXPECT_EQ(subject_of(""sv), "");
  EXPECT_EQ(subject_of("\x01\x09zz"sv), "");
}

}  // namespace
}  // namespace valkyrie::router
