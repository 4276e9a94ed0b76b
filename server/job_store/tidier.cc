#include "server/job_store/tidier.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include <sqlite3.h>

#include "server/job_store/schema.h"

namespace valkyrie::job_store {
namespace {

// Between two looks for jobs to move.
constexpr std::chrono::milliseconds kMoveInterval = std::chrono::minutes(10);
// Frames that the writer may have to wait for: some milliseconds.
constexpr std::uint64_t kGatedFramesMax = 1024;

bool is_fatal(const SqlError& error) { return !error.is_full() && !error.is_busy(); }

}  // namespace

Tidier::Tidier(StoreState& state, const StoreDirectory& directory, Database database)
    : state_(state),
      directory_(directory),
      database_(std::move(database)),
      done_files_(state_, directory_, database_) {}

Tidier::~Tidier() { close(); }

void Tidier::start() {
  thread_ = std::thread([this] { run(); });
}

void Tidier::close() {
  state_.tidier.close();
  if (thread_.joinable()) thread_.join();
}

void Tidier::run() {
  std::uint64_t commits = 0;
  while (true) {
    look_at_space();
    checkpoint_if_due();
    move_if_due();
    if (state_.stuck) state_.space.ring();
    // Said first: a commit that comes meanwhile then rings.
    state_.tidier_sleeps = true;
    const bool watch = state_.low || state_.stuck || state_.behind || commits != state_.commits;
    commits = state_.commits;
    if (!state_.tidier.wait(watch ? state_.options.look_interval : kMoveInterval)) return;
    state_.tidier_sleeps = false;
  }
}

void Tidier::look_at_space() {
  const auto space = state_.options.space();
  if (!space) {
    state_.options.log(space.error());
    return;
  }
  const std::uint64_t reserve =
      state_.options.reserve_bytes.value_or(std::min(kReserveBytesDefault, space->total / 20));
  const bool low = space->free < reserve;
  const bool changed = state_.low.exchange(low) != low;
  ++state_.looks;
  if (!changed) return;
  state_.options.log(
      low ? fmt::format("submits pause: {} has {} MiB free, and {} MiB are kept for jobs that were "
                        "accepted",
                        directory_.path(), space->free >> 20, reserve >> 20)
          : fmt::format("submits go on: {} has {} MiB free", directory_.path(), space->free >> 20));
}

void Tidier::checkpoint_if_due() {
  // A log that is in the file is written again from its beginning, without the disk growing.
  const std::uint64_t due = state_.stuck ? 1 : state_.options.log_bytes_max / 4 + 1;
  if (state_.log_bytes < due) return;
  // Most of it beside the writer, whose commits make it longer meanwhile.
  std::uint64_t before = 0;
  while (true) {
    const auto moved = checkpoint();
    if (!moved || moved->done_frames == before) break;
    before = moved->done_frames;
    if (state_.log_bytes / kFrameBytes <= before + kGatedFramesMax) break;
  }
  const Gate::Pass pass = state_.gate.tidy();
  const auto moved = checkpoint();
  if (!moved || moved->done_frames != moved->log_frames) return;
  state_.log_bytes = 0;
  ++state_.checkpoints;
  if (state_.behind.exchange(false)) {
    state_.options.log("submits go on: the job store's log is in its file");
  }
}

std::optional<Tidier::Checkpointed> Tidier::checkpoint() {
  int log_frames = 0;
  int done_frames = 0;
  const int result = sqlite3_wal_checkpoint_v2(
      database_.handle(), "main", SQLITE_CHECKPOINT_PASSIVE, &log_frames, &done_frames);
  if (result == SQLITE_OK && log_frames >= 0) {
    return Checkpointed{.log_frames = static_cast<std::uint64_t>(log_frames),
                        .done_frames = static_cast<std::uint64_t>(done_frames)};
  }
  if (result != SQLITE_OK && is_fatal(database_.last_error())) {
    state_.fail("bringing the log into the file failed", database_.last_error());
  }
  return std::nullopt;
}

void Tidier::move_if_due() {
  const std::uint64_t now = state_.options.now_ms();
  // Also when the clock was put back.
  const auto interval = static_cast<std::uint64_t>(kMoveInterval.count());
  if (now >= moved_ms_ && now - moved_ms_ < interval) return;
  moved_ms_ = now;
  done_files_.drop_old(now);
  // Files of their own need room, which is for the ends of jobs then.
  while (!state_.low && !state_.stuck && !state_.tidier.is_closed()) {
    const auto moved = done_files_.move(now);
    if (moved && *moved > 0) continue;
    if (!moved && !moved.error().may_pass) state_.fail(moved.error().text);
    if (!moved) state_.options.log(moved.error().text);
    return;
  }
}

}  // namespace valkyrie::job_store
