// Between the public types and the protocol's metadata. Private to this folder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "protocol/constants.h"
#include "protocol/event.h"
#include "protocol/metadata.h"
#include "protocol/session.h"
#include "protocol/time.h"
#include "valkyrie/options.h"
#include "valkyrie/status.h"

namespace valkyrie::detail {

class Link;
struct CallExtras;
struct Slot;

// Left uninitialised on purpose: it is large, and mostly little of it is used.
using MetadataBuffer = std::array<std::byte, protocol::kMetadataBytes>;
// Encoded metadata, or why there is none.
using EncodedMetadata = std::expected<std::span<const std::byte>, std::string_view>;

struct TargetParts {
  std::string_view service;
  std::string_view method;
};

// Splits "service/method"; the error is invalid_argument, not executed.
[[nodiscard]] Result<TargetParts> split_target(std::string_view target);

// The header's byte of a class and an urgency, each inherited from `base` where it says so.
[[nodiscard]] std::uint8_t qos_byte(Qos qos, std::uint8_t urgency, std::uint8_t base);

// Of STREAM_OPEN. A deadline of zero is left out; `extras` may be nullptr.
[[nodiscard]] EncodedMetadata open_metadata(const TargetParts& target, protocol::Duration deadline,
                                            const CallExtras* extras, MetadataBuffer& buffer);
// Of a request: what differs from its stream's.
[[nodiscard]] EncodedMetadata request_metadata(const Slot& slot, protocol::Duration stream_deadline,
                                               protocol::Instant now, MetadataBuffer& buffer);
// Of a response, or of the END of a stream; `pairs` may be nullptr. What is too long as a whole
// goes without pairs, then without details.
[[nodiscard]] std::span<const std::byte> status_metadata(const Status& status,
                                                         const Metadata* pairs,
                                                         MetadataBuffer& buffer);
// The pairs of a response or an END; nullptr: there are none.
[[nodiscard]] std::shared_ptr<Metadata> pairs_of(const protocol::MetadataView& metadata);

// What a response or an END says of how the call went.
[[nodiscard]] Status status_of(const protocol::MetadataView& metadata);
// Why a request is over without a response.
[[nodiscard]] Status status_of_failure(const protocol::Event& event, const Link& link);
// Why a stream is over.
[[nodiscard]] Status status_of_reset(const protocol::Event& event, const Link& link);

// Texts of failures that this side finds.
[[nodiscard]] std::string too_large_text(std::size_t bytes, std::size_t bytes_max);
[[nodiscard]] std::string given_up_text(const Slot& slot, Outcome outcome);
[[nodiscard]] std::string duration_text(protocol::Duration duration);

}  // namespace valkyrie::detail
