// What is published and subscribed to in a world.
#include <algorithm>

#include "protocol/subject.h"
#include "tests/simulation/violation.h"
#include "tests/simulation/world.h"

namespace valkyrie::simulation {
namespace {

// What every subscriber can hold beside what else it has; one that cannot resets its subscription.
constexpr std::uint32_t kEventBytesMost = 30'000;

constexpr const char* kSubjects[] = {"a.b", "a.c", "a.b.c", "d", "d.e.f"};
constexpr const char* kFilters[] = {"a.b", "a.*", "a.>", ">", "*", "*.*.*", "d.>", "a.*.c"};

}  // namespace

Correspondent& World::start_correspondent() {
  const auto number = static_cast<std::uint32_t>(programs_.size() + 1);
  auto made = std::make_unique<Correspondent>(surroundings(), number, any_shard(), program_config(),
                                              subjects_);
  Correspondent& correspondent = *made;
  programs_.push_back(std::move(made));
  correspondents_.push_back(&correspondent);
  trace_.line(network_.now, "{}: a correspondent dials shard {}", number,
              correspondent.wire().shard);
  for (int i = 0; i < 100 && !correspondent.closed() && !correspondent.wire().near.ready(); ++i) {
    network_.run_for(50ms);
  }
  for (std::uint64_t i = pick(3); i > 0; --i) subscribe(correspondent);
  return correspondent;
}

void World::subscribe(Correspondent& correspondent) {
  const char* filter = kFilters[pick(std::size(kFilters))];
  const char* group = chance(3) ? (chance(2) ? "g" : "h") : "";
  // Whoever wants all or nothing may get nothing: not where nobody may be given up.
  auto options = static_cast<std::uint8_t>(pick(surroundings().patient ? 2 : 3));
  if (chance(4)) options |= protocol::kStreamOptionNoEcho;
  correspondent.subscribe(filter, group, options);
}

void World::act_on_subjects() {
  if (correspondents_.empty()) return;
  Correspondent& correspondent = *correspondents_[pick(correspondents_.size())];
  if (correspondent.closed() || correspondent.draining()) return;
  if (perils_.giving_up && chance(8)) return correspondent.leave_any(/*in_order=*/chance(2));
  if (chance(6)) return subscribe(correspondent);
  // Now and then more than a slow subscriber's window and queue take.
  const bool floods = chance(6);
  for (std::uint64_t i = floods ? 150 : pick(12); i > 0; --i) {
    const std::uint32_t bytes = !floods && chance(3) ? std::min(draw_bytes(), kEventBytesMost)
                                                     : static_cast<std::uint32_t>(pick(500));
    correspondent.publish(kSubjects[pick(std::size(kSubjects))], bytes, chance(3));
  }
}

// Once all is healed nobody is slow any more: these show every gap that there is.
void World::publish_last() {
  if (drained_) return;
  for (Correspondent* correspondent : correspondents_) {
    if (correspondent->closed() || correspondent->draining()) continue;
    for (const char* subject : kSubjects) {
      if (!correspondent->publish(subject, 10, /*acked=*/true)) continue;
      last_messages_.push_back(subjects_.messages().back().id);
    }
  }
}

// The last messages came to all they match, and of a group to one.
void World::check_subjects() {
  for (const std::uint64_t id : last_messages_) {
    const PublishRecord& message = subjects_.record(id);
    require(!message.refused, "message {} was refused although all was healed", id);
    for (const Correspondent* correspondent : correspondents_) {
      if (correspondent->closed()) continue;
      for (const auto& [stream, subscription] : correspondent->subscriptions()) {
        const bool echo = subscription.no_echo && message.outlet.first == correspondent->number();
        if (echo || !protocol::filter_matches(subscription.filter, message.subject)) continue;
        require(subjects_.has_got(subscription, message),
                "message {} never came to subscription {} {} of program {}", id,
                subscription.filter, subscription.group, correspondent->number());
      }
    }
  }
}

}  // namespace valkyrie::simulation
