#include "server/registry/route_table.h"

#include <gtest/gtest.h>

namespace valkyrie::registry {
namespace {

RouteUpdate added(std::uint64_t id, std::string service, std::string version = {}) {
  auto info = std::make_shared<InstanceInfo>();
  info->id = id;
  info->service = std::move(service);
  info->version = std::move(version);
  info->instance = "i" + std::to_string(id);
  RouteUpdate update;
  update.info = std::move(info);
  return update;
}

RouteUpdate removed(RouteUpdate update) {
  update.kind = RouteUpdate::Kind::remove;
  return update;
}

TEST(RouteTable, an_entry_keeps_its_address_while_instances_come_and_go) {
  RouteTable table;
  Service& entry = table.refer("hello.Greeter");
  const RouteUpdate update = added(1, "hello.Greeter");
  ASSERT_NE(table.apply(update), nullptr);
  EXPECT_EQ(entry.ready().size(), 1U);
  table.apply(removed(update));
  EXPECT_EQ(entry.ready().size(), 0U);
  EXPECT_EQ(&table.refer("hello.Greeter"), &entry);
  table.release(entry);
  table.release(entry);
  EXPECT_EQ(table.service_count(), 0U);
  EXPECT_EQ(table.instance_count(), 0U);
}

TEST(RouteTable, a_version_narrows_the_instances_whether_asked_for_before_or_after) {
  RouteTable table;
  Service& before = table.refer("s@2");
  table.apply(added(1, "s", "1"));
  table.apply(added(2, "s", "2"));
  Service& after = table.refer("s@1");
  EXPECT_EQ(before.ready().size(), 1U);
  EXPECT_EQ(before.ready()[0]->info->id, 2U);
  EXPECT_EQ(after.ready().size(), 1U);
  EXPECT_EQ(after.ready()[0]->info->id, 1U);
  EXPECT_EQ(table.refer("s").ready().size(), 2U);
}

TEST(RouteTable, a_removed_instance_lives_until_its_last_reference_is_gone) {
  RouteTable table;
  const RouteUpdate update = added(1, "s");
  Instance* instance = table.apply(update);
  ASSERT_NE(instance, nullptr);
  ++instance->references;
  table.apply(removed(update));
  EXPECT_EQ(table.find(1), nullptr);
  EXPECT_EQ(table.instance_count(), 1U);
  table.release(*instance);
  EXPECT_EQ(table.instance_count(), 0U);
}

TEST(RouteTable, an_instance_withdrawn_ahead_of_its_removal_goes_with_the_removal) {
  RouteTable table;
  const RouteUpdate update = added(1, "s");
  Instance* instance = table.apply(update);
  ASSERT_NE(instance, nullptr);
  table.withdraw(*instance);
  EXPECT_EQ(table.find(1), nullptr);
  table.apply(removed(update));
  EXPECT_EQ(table.instance_count(), 0U);
}

TEST(RouteTable, a_change_after_the_removal_is_ignored) {
  RouteTable table;
  RouteUpdate update = added(1, "s");
  table.apply(update);
  table.apply(removed(update));
  update.kind = RouteUpdate::Kind::change;
  EXPECT_EQ(table.apply(update), nullptr);
}

TEST(RouteTable, an_unknown_service_is_explained_with_the_nearest_name) {
  RouteTable table;
  table.apply(added(1, "hello.Greeter"));
  table.apply(added(2, "hello.Greeter"));
  table.add_builtin("valkyrie.Node", 0);
  EXPECT_EQ(table.explain(table.refer("hello.Greter"), NoChoice::no_instance, ""),
            "no service \"hello.Greter\"; did you mean \"hello.Greeter\" (2 instances)?");
  EXPECT_EQ(table.explain(table.refer("valkyrie.Nod"), NoChoice::no_instance, ""),
            "no service \"valkyrie.Nod\"; did you mean \"valkyrie.Node\"?");
  EXPECT_EQ(table.explain(table.refer("strange"), NoChoice::no_instance, ""),
            "no service \"strange\"");
}

TEST(RouteTable, an_unknown_version_is_explained_with_those_there_are) {
  RouteTable table;
  table.apply(added(1, "s", "1"));
  table.apply(added(2, "s", "2"));
  table.apply(added(3, "s", "2"));
  EXPECT_EQ(table.explain(table.refer("s@3"), NoChoice::no_instance, ""),
            "no version \"3\" of service \"s\"; there is \"1\" (1 instance), \"2\" (2 instances)");
}

TEST(RouteTable, what_is_busy_gone_or_not_ready_is_said_so) {
  RouteTable table;
  RouteUpdate update = added(1, "s");
  table.apply(update);
  Service& entry = table.refer("s");
  EXPECT_EQ(table.explain(entry, NoChoice::all_busy, "M"), "s: 1 of 1 instances busy");
  EXPECT_EQ(table.explain(entry, NoChoice::unknown_method, "M"), "s has no method \"M\"");
  update.kind = RouteUpdate::Kind::change;
  update.state = messages::InstanceState::draining;
  table.apply(update);
  EXPECT_EQ(table.explain(entry, NoChoice::no_instance, "M"),
            "s: no instance is ready (1 registered, 1 draining)");
  table.apply(removed(update));
  EXPECT_EQ(table.explain(entry, NoChoice::no_instance, "M"), "s: no instance left");
}

}  // namespace
}  // namespace valkyrie::registry
