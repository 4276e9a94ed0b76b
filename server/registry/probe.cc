#include "server/registry/probe.h"

#include "protocol/assert.h"

namespace valkyrie::registry {

Probe::Probe(const ProbeSettings& settings, std::uint64_t spread, protocol::Instant now)
    : settings_(settings) {
  const auto interval = static_cast<std::uint64_t>(settings.interval.count());
  VALKYRIE_ASSERT(interval > 0);
  due_ = now + protocol::Duration(static_cast<std::int64_t>(spread % interval));
}

void Probe::sent(protocol::Instant now) {
  VALKYRIE_ASSERT(!is_out_);
  is_out_ = true;
  is_late_ = false;
  sent_ = now;
  due_ = now + settings_.timeout;
}

ProbeVerdict Probe::expired(protocol::Instant now) {
  VALKYRIE_ASSERT(is_out_);
  is_late_ = true;
  const protocol::Instant next = sent_ + settings_.interval;
  due_ = next > now ? next : now + settings_.interval;
  return note(/*well=*/false);
}

ProbeVerdict Probe::ended(bool well, protocol::Instant now) {
  VALKYRIE_ASSERT(is_out_);
  is_out_ = false;
  if (is_late_) return ProbeVerdict::same;
  const protocol::Instant next = sent_ + settings_.interval;
  due_ = next > now ? next : now;
  return note(well);
}

ProbeVerdict Probe::note(bool well) {
  if (well) {
    failures_ = 0;
    if (successes_ < settings_.successes) ++successes_;
    if (is_healthy_ || successes_ < settings_.successes) return ProbeVerdict::same;
    is_healthy_ = true;
    return ProbeVerdict::healthy;
  }
  successes_ = 0;
  ++failures_;
  if (settings_.deregister != 0 && failures_ == settings_.deregister) return ProbeVerdict::gone;
  if (!is_healthy_ || failures_ < settings_.failures) return ProbeVerdict::same;
  is_healthy_ = false;
  return ProbeVerdict::unhealthy;
}

}  // namespace valkyrie::registry
