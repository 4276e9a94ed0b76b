// Ids of jobs: UUIDv7 whose random part is 12 bits of node, 46 bits of row number and 16 random
// bits, so that the id is also the key of its record (docs/spec/jobs.md, "Ids").
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace valkyrie::jobs {

// Number of a job's record on its node; from 1, only rises.
using Row = std::uint64_t;

// Largest row number an id can hold.
inline constexpr Row kRowMax = (Row{1} << 46) - 1;

// A job's id. A plain value; ordered by time of submit, then node, then row.
class JobId {
 public:
  // The nil id: names no job.
  JobId() = default;
  // `unix_ms` below 2^48, `node` below 2^12, `row` at most kRowMax.
  static JobId make(std::uint64_t unix_ms, std::uint16_t node, Row row, std::uint16_t random);

  // `job_` and 26 digits of Crockford's base 32, lower case.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] Row row() const;
  // Milliseconds since 1970 of the submit.
  [[nodiscard]] std::uint64_t unix_ms() const;
  [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }

  auto operator<=>(const JobId&) const = default;

 private:
  friend struct JobIdRange;
  std::array<std::uint8_t, 16> bytes_{};
};

// All ids whose text begins with a given one.
struct JobIdRange {
  JobId first;
  JobId last;  // Included.

  // `prefix` is a whole id or the beginning of one, with or without `job_`, in either case;
  // Crockford's look-alikes (i, l, o) are read as digits. nullopt: no id begins so.
  static std::optional<JobIdRange> of_prefix(std::string_view prefix);
};

}  // namespace valkyrie::jobs
