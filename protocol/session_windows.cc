// Windows that grow to what the path holds: docs/spec/flow-control.md, "Windows that grow".
#include <algorithm>
#include <utility>

#include "protocol/session_core.h"

namespace valkyrie::protocol {

namespace {

// A path may get longer: each measurement lets the least round trip rise by one part in so many.
constexpr int kRoundTripAging = 8;

// The least round trip to size a window by. On one machine a PONG takes microseconds while all is
// idle, but the two ends, at work, get a core only every so often: a window for less makes them run
// by turns.
constexpr Duration kRoundTripMin = std::chrono::milliseconds{1};

// The share of the held bytes by which all windows of streams together may have grown, and the
// share of what is left of it that one stream may take.
constexpr std::uint64_t kGrowthShareOfHeld = 2;
constexpr std::uint64_t kGrowthShareOfStream = 2;

// On how many of the longest short path bulk beside critical frames would use all of its credit: a
// round trip that was measured behind bulk seems longer than it is.
constexpr int kPathsPerWindow = 4;
// How much more often it is measured while they come and go.
constexpr int kCriticalProbes = 10;

}  // namespace

// On a short path bulk in front of a critical frame is what makes it late, wherever it lies unread.
// So bulk leaves unused what the peer has granted at first, but for what is read in little time; on
// a longer path it needs all of it.
std::uint64_t SessionCore::credit_to_keep() const {
  if (now_ >= critical_until || round_trip_ >= kShortPath) return 0;
  const std::uint64_t window = peer_connection_credit_;
  const std::uint64_t of_path = window * static_cast<std::uint64_t>(round_trip_.count()) /
                                static_cast<std::uint64_t>((kShortPath * kPathsPerWindow).count());
  return window - std::min(window, std::max<std::uint64_t>(of_path, kCriticalUnreadBytes));
}

// Data flows: measures the round trip now and then.
void SessionCore::probe_round_trip() {
  if (probing_ || now_ < next_probe_at_) return;
  probing_ = true;
  probed_at_ = now_;
  ping(kProbeToken);
}

void SessionCore::on_probe_answered() {
  if (!std::exchange(probing_, false)) return;
  const Duration sample = now_ - probed_at_;
  round_trip_ = round_trip_ == Duration::zero()
                    ? sample
                    : std::min(sample, round_trip_ + round_trip_ / kRoundTripAging);
  next_probe_at_ = now_ + (now_ < critical_until ? kWindowProbe / kCriticalProbes : kWindowProbe);
}

// True if more than two thirds of the window went in each round trip since it was last asked: then
// the window may be what holds the sender back. `total` counts the bytes of the flow.
bool SessionCore::outgrown(Flow& flow, std::uint64_t total) const {
  const Duration elapsed = now_ - flow.since;
  const Duration round_trip = std::max(round_trip_, kRoundTripMin);
  if (round_trip_ == Duration::zero() || elapsed < round_trip) return false;
  const auto bytes = static_cast<double>(total - flow.mark);
  const bool is_known = flow.since != Instant{};
  flow.since = now_;
  flow.mark = total;
  const double trips =
      static_cast<double>(elapsed.count()) / static_cast<double>(round_trip.count());
  return is_known && bytes * 3 > static_cast<double>(flow.window) * 2 * trips;
}

// The window of a stream is memory that its sender may fill, so all together have a budget.
void SessionCore::fit_window(Stream& stream) {
  if (!outgrown(stream.flow, stream.consumed)) return;
  const std::uint64_t budget = config.limits.held_bytes_max / kGrowthShareOfHeld;
  const std::uint64_t window = stream.flow.window;
  const std::uint64_t most = std::max<std::uint64_t>(config.limits.stream_window_bytes_max, window);
  const std::uint64_t growth =
      std::min({window, most - window,
                budget > windows_grown_ ? (budget - windows_grown_) / kGrowthShareOfStream : 0});
  stream.flow.window = static_cast<std::uint32_t>(window + growth);
  windows_grown_ += growth;
}

void SessionCore::fit_connection_window() {
  if (!outgrown(connection_flow_, connection_received_)) return;
  const std::uint64_t window = connection_flow_.window;
  const std::uint64_t most =
      std::max<std::uint64_t>(config.limits.connection_window_bytes_max, window);
  connection_flow_.window = static_cast<std::uint32_t>(std::min(window * 2, most));
}

// What a stream that is over had more than at its start goes back to the budget.
void SessionCore::forget_window(Stream& stream) {
  windows_grown_ -= stream.flow.window - config.limits.stream_credit_bytes;
  stream.flow.window = config.limits.stream_credit_bytes;
}

}  // namespace valkyrie::protocol
