#include "server/registry/ejection.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <utility>

#include "server/registry/instance.h"

namespace valkyrie::registry {
namespace {

// Instances with enough calls, for one of them to be an outlier.
constexpr std::size_t kComparedMin = 3;

}  // namespace

bool is_failure(protocol::StatusCode code) {
  switch (code) {
    case protocol::StatusCode::unknown:
    case protocol::StatusCode::deadline_exceeded:
    case protocol::StatusCode::internal:
    case protocol::StatusCode::unavailable:
      return true;
    default:
      return false;
  }
}

bool InstanceGauge::note_answer(protocol::StatusCode code, std::uint32_t most) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  answers.store(answers.load(kRelaxed) + 1, kRelaxed);
  if (!is_failure(code)) {
    if (failures_in_row.load(kRelaxed) != 0) failures_in_row.store(0, kRelaxed);
    return false;
  }
  failures.store(failures.load(kRelaxed) + 1, kRelaxed);
  const std::uint32_t in_row = failures_in_row.load(kRelaxed) + 1;
  failures_in_row.store(in_row, kRelaxed);
  return most != 0 && in_row % most == 0;
}

void Ejection::begin(const EjectionSettings& settings, std::string why, protocol::Instant now) {
  // The good time since it last came back.
  if (times > 0 && now - until >= settings.time_max) times = 0;
  protocol::Duration length = settings.time;
  for (std::uint32_t i = 0; i < times && length < settings.time_max; ++i) length *= 2;
  ++times;
  is_out = true;
  until = now + std::min(length, std::max(settings.time, settings.time_max));
  reason = std::move(why);
}

void Ejection::end(protocol::Instant now) {
  is_out = false;
  until = now;
}

std::string Ejection::text(protocol::Instant now) const {
  const auto left = std::max(protocol::Duration::zero(), until - now);
  return fmt::format("{}; back in {}s", reason,
                     std::chrono::ceil<std::chrono::seconds>(left).count());
}

bool may_eject(std::size_t instances, std::size_t out, const EjectionSettings& settings) {
  if (out + 1 >= instances) return false;
  return (out + 1) * 100 <= instances * settings.share_max;
}

std::vector<std::size_t> outliers(std::span<const Success> instances,
                                  const EjectionSettings& settings) {
  struct Rate {
    double percent = 0;
    std::size_t index = 0;
  };
  std::vector<Rate> rates;
  double sum = 0;
  for (std::size_t i = 0; i < instances.size(); ++i) {
    const Success& success = instances[i];
    if (success.answers == 0 || success.answers < settings.calls_min) continue;
    rates.push_back({.percent = 100.0 * static_cast<double>(success.answers - success.failures) /
                                static_cast<double>(success.answers),
                     .index = i});
    sum += rates.back().percent;
  }
  std::vector<std::size_t> found;
  if (settings.success_gap == 0 || rates.size() < kComparedMin) return found;
  std::ranges::sort(rates, {}, &Rate::percent);
  const auto others = static_cast<double>(rates.size() - 1);
  for (const Rate& rate : rates) {
    if ((sum - rate.percent) / others - rate.percent > settings.success_gap) {
      found.push_back(rate.index);
    }
  }
  return found;
}

}  // namespace valkyrie::registry
