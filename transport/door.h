// What an accepted connection speaks, told from its first bytes (docs/spec/errors.md, "First bytes
// of other protocols").
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace valkyrie::transport {

// The answer of detect_door().
enum class Door : std::uint8_t {
  undecided,  // More bytes are needed.
  valkyrie,   // `VK`: frames follow.
  noise,      // `VN`: a Noise preamble.
  tls,        // A TLS handshake record.
  http,       // An HTTP method.
  garbage,    // Nothing that this node knows.
};

// Bytes after which no prefix is undecided.
inline constexpr std::size_t kDoorBytes = 2;

// Looks at the first bytes of a connection, at most kDoorBytes of them.
[[nodiscard]] Door detect_door(std::span<const std::byte> first);

}  // namespace valkyrie::transport
