#include "valkyrie/status.h"

#include <exception>

#include "protocol/constants.h"
#include "valkyrie/task.h"

namespace valkyrie {
namespace {

// The public enums spell the protocol's numbers out, so that users need no header of it.
static_assert(static_cast<int>(StatusCode::unauthenticated) ==
              static_cast<int>(protocol::StatusCode::unauthenticated));
static_assert(static_cast<int>(StatusCode::unimplemented) ==
              static_cast<int>(protocol::StatusCode::unimplemented));
static_assert(static_cast<int>(Outcome::executed) == static_cast<int>(protocol::Outcome::executed));
static_assert(static_cast<int>(Outcome::not_executed) ==
              static_cast<int>(protocol::Outcome::not_executed));

constexpr std::uintptr_t pack(StatusCode code, Outcome outcome) {
  return 1u | static_cast<std::uintptr_t>(code) << 8 | static_cast<std::uintptr_t>(outcome) << 16;
}

}  // namespace

std::string_view to_string(StatusCode code) {
  return protocol::to_string(static_cast<protocol::StatusCode>(code));
}

std::string_view to_string(Outcome outcome) {
  return protocol::to_string(static_cast<protocol::Outcome>(outcome));
}

struct Status::Shared {
  std::atomic<std::uint32_t> references{1};
  StatusCode code;
  Outcome outcome;
  std::string message;
  std::string details;
};

Status::Status(StatusCode code, std::string_view message, Outcome outcome, BytesView details) {
  if (code == StatusCode::ok) return;
  if (message.empty() && details.empty()) {
    bits_ = pack(code, outcome);
    return;
  }
  auto* shared = new Shared{.code = code,
                            .outcome = outcome,
                            .message = std::string(message),
                            .details = std::string(details.text())};
  bits_ = reinterpret_cast<std::uintptr_t>(shared);
}

Status::Status(const Status& other) noexcept : bits_(other.bits_) {
  if (!packed()) shared()->references.fetch_add(1, std::memory_order_relaxed);
}

void Status::release() noexcept {
  if (shared()->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete shared();
}

StatusCode Status::code() const noexcept {
  return packed() ? static_cast<StatusCode>(bits_ >> 8 & 0xff) : shared()->code;
}

Outcome Status::outcome() const noexcept {
  if (ok()) return Outcome::executed;
  return packed() ? static_cast<Outcome>(bits_ >> 16 & 0xff) : shared()->outcome;
}

std::string_view Status::message() const noexcept {
  return packed() ? std::string_view{} : std::string_view(shared()->message);
}

BytesView Status::details() const noexcept {
  return packed() ? BytesView{} : BytesView(shared()->details);
}

std::string Status::to_string() const {
  std::string text(valkyrie::to_string(code()));
  if (!message().empty()) text.append(": ").append(message());
  return text;
}

namespace detail {

Status status_of_current_exception() noexcept {
  try {
    throw;
  } catch (const std::exception& error) {
    return Status(StatusCode::internal, error.what());
  } catch (...) {
    return Status(StatusCode::internal, "an exception that is no std::exception");
  }
}

}  // namespace detail

}  // namespace valkyrie
