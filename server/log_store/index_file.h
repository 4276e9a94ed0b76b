// Finds in an index file what came on which stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <system_error>
#include <vector>

#include "server/log_store/log_disk.h"
#include "server/log_store/log_index.h"

namespace valkyrie::log_store {

// Bytes of one stream; as many as to the next run, or to the end of what was asked for.
struct StreamRun {
  std::uint64_t offset = 0;
  std::uint64_t unix_ms = 0;  // When its first byte came, or one before it; 0: not known.
  messages::OutputStream stream = messages::OutputStream::merged;
  bool operator==(const StreamRun&) const = default;
};

// The runs of [begin, end) of a log, the first one beginning at `begin`; begin < end. `records`:
// how many the index has, or nullopt to believe its size. Bytes that no record is about are
// `merged`, and so are all behind a damaged record. Reads little of a large index.
[[nodiscard]] std::expected<std::vector<StreamRun>, std::error_code> runs_of(
    LogFile& index, std::optional<std::uint64_t> records, std::uint64_t begin, std::uint64_t end);

}  // namespace valkyrie::log_store
