// Whether an instance answers: the node calls messages::kHealthMethod of it now and then, and this
// says when, and what the answers amount to. docs/spec/registry.md, "Probes". The shard that owns
// the instance probes it; shard 0, which has the catalog, acts on the verdicts.
//
// No I/O, no clock, no threads. Not thread-safe.
#pragma once

#include <cstdint>

#include "protocol/constants.h"
#include "protocol/time.h"
#include "server/registry/service_settings.h"

namespace valkyrie::registry {

// What the latest probe has changed.
enum class ProbeVerdict : std::uint8_t {
  same,       // Nothing.
  unhealthy,  // It failed so often in a row that it gets no call.
  healthy,    // It answered so often in a row that it gets calls again.
  gone,       // It failed so often in a row that its registration ends.
};

// True for an answer of an instance that lives and is well: ok, and unimplemented of those that
// know no probes.
[[nodiscard]] constexpr bool is_well(protocol::StatusCode code) {
  return code == protocol::StatusCode::ok || code == protocol::StatusCode::unimplemented;
}

// The probes of one instance, one at a time. The owner loops: when due() has come and may_send(),
// it sends one and calls sent(); ended() when that is answered or lost; where due() comes before
// that, expired().
class Probe {
 public:
  // The first is due within an interval, at a place in it that `spread` decides, so that instances
  // that come together are not probed together.
  Probe(const ProbeSettings& settings, std::uint64_t spread, protocol::Instant now);

  // When something is to be done. Rises with each of the calls below but ended() of a late answer.
  [[nodiscard]] protocol::Instant due() const { return due_; }
  // False while the answer to the latest one is still to come.
  [[nodiscard]] bool may_send() const { return !is_out_; }
  // Whether that one is counted as a failure already.
  [[nodiscard]] bool is_late() const { return is_out_ && is_late_; }
  // How long the latest one has had no answer. REQUIRES: !may_send()
  [[nodiscard]] protocol::Duration silence(protocol::Instant now) const { return now - sent_; }

  // One was sent. REQUIRES: may_send()
  void sent(protocol::Instant now);
  // Time is up: that counts as a failure, once for each interval. The answer, when it comes, no
  // longer counts. REQUIRES: !may_send()
  ProbeVerdict expired(protocol::Instant now);
  // It was answered, `well` or not, or could not be sent at all. REQUIRES: !may_send()
  ProbeVerdict ended(bool well, protocol::Instant now);

  // Failures in a row up to now.
  [[nodiscard]] std::uint32_t failures() const { return failures_; }

 private:
  ProbeVerdict note(bool well);

  ProbeSettings settings_;
  protocol::Instant due_{};
  protocol::Instant sent_{};
  std::uint32_t failures_ = 0;  // In a row,
  std::uint32_t successes_ = 0;
  bool is_healthy_ = true;
  bool is_out_ = false;   // Sent and not ended,
  bool is_late_ = false;  // and counted as a failure.
};

}  // namespace valkyrie::registry
