#include "server/registry/balance.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace valkyrie::registry {
namespace {

using messages::Balance;
using Members = std::span<Instance* const>;

// Finalizer of MurmurHash3: every bit of the input moves half of the output's.
std::uint64_t mixed(std::uint64_t value) {
  value ^= value >> 33U;
  value *= 0xFF51AFD7ED558CCDULL;
  value ^= value >> 33U;
  value *= 0xC4CEB9FE1A85EC53ULL;
  return value ^ value >> 33U;
}

bool eligible(const Instance& instance, const Wanted& wanted) {
  return instance.has_room() &&
         (!wanted.methods_differ || declares(*instance.info, wanted.method)) &&
         std::ranges::find(wanted.tried, instance.info->id) == wanted.tried.end();
}

// True if `a` has less to do for its share than `b`.
bool less_loaded(const Instance& a, const Instance& b) {
  return std::uint64_t{a.outstanding} * b.share < std::uint64_t{b.outstanding} * a.share;
}

// Two by share, which may be one and the same only where shares differ.
std::pair<Instance*, Instance*> draw_two(Members members, std::uint64_t share_total, bool is_even,
                                         Random& random) {
  if (is_even) {
    const std::size_t first = random() % members.size();
    const std::size_t second = (first + 1 + random() % (members.size() - 1)) % members.size();
    return {members[first], members[second]};
  }
  const auto draw = [&] {
    // One draw has 31 bits, too few for a sum of shares.
    std::uint64_t left = (std::uint64_t{random()} << 31U ^ random()) % share_total;
    for (Instance* instance : members) {
      if (left < instance->share) return instance;
      left -= instance->share;
    }
    return members.back();
  };
  Instance* first = draw();
  return {first, draw()};
}

Instance* least_loaded(Members members, const Wanted& wanted) {
  Instance* best = nullptr;
  for (Instance* instance : members) {
    if (!eligible(*instance, wanted)) continue;
    if (best == nullptr || less_loaded(*instance, *best)) best = instance;
  }
  return best;
}

// The next after the last. One that starts slowly lets a part of its turns go.
Instance* next_in_turn(Members members, std::size_t& turn, const Wanted& wanted, Random& random) {
  std::size_t passed_over = members.size();
  for (std::size_t step = 1; step <= members.size(); ++step) {
    const std::size_t place = (turn + step) % members.size();
    Instance& instance = *members[place];
    if (!eligible(instance, wanted)) continue;
    const std::uint32_t full = instance.weight * kShareOfWeight;
    if (instance.share >= full || random() % full < instance.share) {
      turn = place;
      return &instance;
    }
    passed_over = std::min(passed_over, place);
  }
  if (passed_over == members.size()) return nullptr;
  turn = passed_over;
  return members[passed_over];
}

// Smooth weighted round robin: everyone earns its share, the one with most pays for all.
Instance* most_owed(Members members, const Wanted& wanted) {
  Instance* best = nullptr;
  std::int64_t total = 0;
  for (Instance* instance : members) {
    if (!eligible(*instance, wanted)) continue;
    instance->lead += instance->share;
    total += instance->share;
    if (best == nullptr || instance->lead > best->lead) best = instance;
  }
  if (best != nullptr) best->lead -= total;
  return best;
}

// Rendezvous hashing: each instance draws a number for the key, by share, and the lowest takes it.
// So one that comes or goes moves no key but its own. Who has more than the average and a quarter
// is passed over for the next lowest.
Instance* nearest_to_key(Members members, std::uint64_t share_total, bool is_even,
                         const Wanted& wanted) {
  std::uint64_t load = 1;  // With the call that is to be placed.
  for (const Instance* instance : members) load += instance->ours;
  Instance* best = nullptr;
  Instance* best_of_all = nullptr;
  double least = 0;
  double least_of_all = 0;
  for (Instance* instance : members) {
    if (!eligible(*instance, wanted)) continue;
    const std::uint64_t bits = mixed(wanted.key ^ mixed(instance->name_hash));
    double distance = static_cast<double>(bits);
    if (!is_even) {
      const double fraction = (static_cast<double>(bits >> 11U) + 0.5) * 0x1p-53;
      distance = -std::log1p(-fraction) / instance->share;
    }
    if (best_of_all == nullptr || distance < least_of_all) {
      best_of_all = instance;
      least_of_all = distance;
    }
    // ours + 1 <= ceil(bound), in whole numbers.
    const bool has_its_load = std::uint64_t{instance->ours} * 100 * share_total >=
                              load * kBoundedLoadPercent * instance->share;
    if (!has_its_load && (best == nullptr || distance < least)) {
      best = instance;
      least = distance;
    }
  }
  return best != nullptr ? best : best_of_all;
}

}  // namespace

std::uint64_t stable_hash(std::string_view bytes) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;  // FNV-1a.
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 0x100000001B3ULL;
  }
  return mixed(hash);
}

bool declares(const InstanceInfo& info, std::string_view method) {
  if (info.methods.empty()) return true;
  const auto at = std::ranges::lower_bound(info.methods, method, {}, &messages::MethodInfo::name);
  return at != info.methods.end() && at->name == method;
}

void Balancer::assign(std::span<Instance* const> ready, std::size_t local) {
  local_.members = ready.first(local);
  others_.members = ready.subspan(local);
  reweigh();
}

void Balancer::reweigh() {
  weigh(local_);
  weigh(others_);
}

void Balancer::weigh(Pool& pool) {
  pool.share_total = 0;
  pool.is_even = true;
  for (const Instance* instance : pool.members) {
    pool.share_total += instance->share;
    if (instance->share != pool.members.front()->share) pool.is_even = false;
  }
}

Instance* Balancer::choose(const Wanted& wanted, Random& random) {
  if (!local_.members.empty()) {
    if (Instance* instance = choose_from(local_, wanted, random)) return instance;
  }
  return others_.members.empty() ? nullptr : choose_from(others_, wanted, random);
}

Instance* Balancer::choose_from(Pool& pool, const Wanted& wanted, Random& random) const {
  const Members members = pool.members;
  if (members.size() == 1) {
    return eligible(*members.front(), wanted) ? members.front() : nullptr;
  }
  switch (policy_) {
    case Balance::round_robin:
      return next_in_turn(members, pool.turn, wanted, random);
    case Balance::weighted:
      return most_owed(members, wanted);
    case Balance::consistent_hash:
      return nearest_to_key(members, pool.share_total, pool.is_even, wanted);
    case Balance::least_outstanding:
      break;
  }
  const auto [first, second] = draw_two(members, pool.share_total, pool.is_even, random);
  const bool first_fits = eligible(*first, wanted);
  const bool second_fits = eligible(*second, wanted);
  if (second_fits && (!first_fits || less_loaded(*second, *first))) return second;
  return first_fits ? first : least_loaded(members, wanted);
}

}  // namespace valkyrie::registry
