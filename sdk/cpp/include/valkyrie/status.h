// How an operation ended: gRPC's codes, and whether a handler executed it.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "valkyrie/bytes.h"

namespace valkyrie {

// What went wrong, numbered as gRPC does (docs/spec/errors.md).
enum class StatusCode : std::uint8_t {
  ok = 0,
  cancelled,            // The caller gave up.
  unknown,              // A failure that says no more about itself.
  invalid_argument,     // Wrong in itself, whatever the state of the system.
  deadline_exceeded,    // No answer in time.
  not_found,            // The thing asked for does not exist.
  already_exists,       // The thing to create does.
  permission_denied,    // The caller may not do this.
  resource_exhausted,   // A limit or a queue is full.
  failed_precondition,  // Not in this state of the system.
  aborted,              // Lost against a concurrent operation.
  out_of_range,         // Past the valid range.
  unimplemented,        // No such method.
  internal,             // A defect on the other side.
  unavailable,          // No one there to answer now.
  data_loss,            // Bytes are lost beyond recovery.
  unauthenticated,      // No valid proof of who the caller is.
};

// Whether the handler of a failed call ran. Decides if a retry is safe.
enum class Outcome : std::uint8_t {
  not_executed = 0,  // No handler saw it: it never left, or the node refused it. Retry.
  maybe_executed,    // Lost after it left: retry what is idempotent.
  executed,          // The handler's own answer.
};

// The one word for logs, exit texts and metrics, such as "unavailable".
[[nodiscard]] std::string_view to_string(StatusCode code);
// The one word for logs and metrics, such as "not_executed".
[[nodiscard]] std::string_view to_string(Outcome outcome);

// The end of an operation. Eight bytes, cheap to copy and move; any thread may share one.
class [[nodiscard]] Status {
 public:
  // OK.
  Status() noexcept = default;
  // `message` is for people and is cut to 1 KiB on the wire; `details` is an encoded
  // google.rpc.Status of at most 4 KiB. Both are copied. A handler leaves `outcome` as it is,
  // unless it sheds load before doing anything: then not_executed lets the caller retry.
  explicit Status(StatusCode code, std::string_view message = {},
                  Outcome outcome = Outcome::executed, BytesView details = {});
  Status(const Status& other) noexcept;
  Status(Status&& other) noexcept : bits_(std::exchange(other.bits_, 0)) {}
  Status& operator=(Status other) noexcept {
    std::swap(bits_, other.bits_);
    return *this;
  }
  ~Status() {
    if (!packed()) release();
  }

  // Whether the operation succeeded.
  [[nodiscard]] bool ok() const noexcept { return bits_ == 0; }
  // What went wrong.
  [[nodiscard]] StatusCode code() const noexcept;
  // Text for people; may be empty. Valid as long as any copy of this status.
  [[nodiscard]] std::string_view message() const noexcept;
  // The encoded google.rpc.Status that came along; mostly empty. Valid as message() is.
  [[nodiscard]] BytesView details() const noexcept;
  // Whether a handler executed the operation; executed if ok().
  [[nodiscard]] Outcome outcome() const noexcept;
  // True for a failure of which no handler saw anything: doing it again cannot do it twice.
  [[nodiscard]] bool retry_is_safe() const noexcept {
    return !ok() && outcome() == Outcome::not_executed;
  }
  // "unavailable: no service "x"", for logs and error messages.
  [[nodiscard]] std::string to_string() const;

 private:
  struct Shared;
  // OK is zero. Without text a status is packed: bit 0 set, the code from bit 8 on, the outcome
  // from bit 16. Otherwise it is a pointer.
  [[nodiscard]] bool packed() const noexcept { return bits_ == 0 || (bits_ & 1u) != 0; }
  [[nodiscard]] Shared* shared() const noexcept { return reinterpret_cast<Shared*>(bits_); }
  void release() noexcept;

  std::uintptr_t bits_ = 0;
};
static_assert(sizeof(Status) == 8);

// A value, or the Status that says why there is none.
template <class T>
using Result = std::expected<T, Status>;

// For `return fail(StatusCode::not_found, "no such door");` in functions that return a Result.
[[nodiscard]] inline std::unexpected<Status> fail(StatusCode code, std::string_view message = {},
                                                  Outcome outcome = Outcome::executed) {
  return std::unexpected<Status>(Status(code, message, outcome));
}

}  // namespace valkyrie
