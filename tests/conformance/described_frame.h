// A frame as an object of named fields, to be compared with what a test vector states.
#pragma once

#include <cstddef>
#include <span>

#include <boost/json.hpp>

#include "protocol/frame.h"
#include "protocol/metadata.h"

namespace valkyrie::conformance {

// Fields of the fixed body of a frame, named as in README.md; empty for other types.
// REQUIRES: `payload` has the length of the type.
[[nodiscard]] boost::json::object describe_body(protocol::FrameType type,
                                                std::span<const std::byte> payload);

// What metadata says: `status` and `outcome`; `service`, `method`, `deadline_ns` and `pairs` if
// they are there. A pair is [name, text], or [name, {"hex": ...}] if its name ends in -bin.
[[nodiscard]] boost::json::object describe_metadata(const protocol::MetadataView& metadata);

// Fields of header, metadata, payload and body together: `type`, `stream`, `correlation`, `qos`,
// `flags`, `payload`, `payload_bytes`, and those of describe_metadata() and describe_body().
[[nodiscard]] boost::json::object describe_frame(const protocol::FrameHeader& header,
                                                 std::span<const std::byte> body);

// Whether `actual` has every member of `want` with the same value.
[[nodiscard]] bool matches(const boost::json::object& want, const boost::json::object& actual);

}  // namespace valkyrie::conformance
