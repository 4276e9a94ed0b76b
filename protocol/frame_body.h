// Bodies of fixed length, without their metadata. Spec: docs/spec/framing.md, one section each.
// decode() cannot fail: decode_header() has checked the length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "protocol/big_endian.h"
#include "protocol/constants.h"

namespace valkyrie::protocol {

// PING, and the PONG that returns it. The value means something to the sender of the PING only.
struct PingBody {
  static constexpr std::size_t kBytes = 8;
  std::uint64_t value = 0;

  // Writes the body.
  void encode(std::span<std::byte, kBytes> out) const { store_big_endian(out.data(), value); }
  // Reads the body.
  [[nodiscard]] static PingBody decode(std::span<const std::byte, kBytes> body) {
    return {load_big_endian<std::uint64_t>(body.data())};
  }
};

// GOAWAY: the end of the session, at once or after `drain_ms` milliseconds.
struct GoawayBody {
  static constexpr std::size_t kBytes = 10;
  // Codes of a later version come as numbers without a name.
  CloseCode code = CloseCode::none;
  // Streams of the receiver above this id were not and will not be looked at.
  std::uint32_t last_stream = 0;
  // Milliseconds.
  std::uint32_t drain_ms = 0;

  // Writes the body.
  void encode(std::span<std::byte, kBytes> out) const {
    store_big_endian(out.data(), static_cast<std::uint16_t>(code));
    store_big_endian(out.data() + 2, last_stream);
    store_big_endian(out.data() + 6, drain_ms);
  }
  // Reads the body.
  [[nodiscard]] static GoawayBody decode(std::span<const std::byte, kBytes> body) {
    return {static_cast<CloseCode>(load_big_endian<std::uint16_t>(body.data())),
            load_big_endian<std::uint32_t>(body.data() + 2),
            load_big_endian<std::uint32_t>(body.data() + 6)};
  }
};

// STREAM_OPEN. What a peer sent may hold an unknown kind or option: ask legal() first.
struct StreamOpenBody {
  static constexpr std::size_t kBytes = 2;
  StreamKind kind = StreamKind::call;
  // kStreamOption... of that kind.
  std::uint8_t options = 0;

  // Whether kind and options are known; if not, the connection ends with protocol_violation.
  [[nodiscard]] constexpr bool legal() const {
    switch (kind) {
      case StreamKind::call:
        return options <= (kStreamOptionPin | kStreamOptionWait);
      case StreamKind::stream:
        return (options & ~unsigned{kStreamOptionWait}) == 0;
      case StreamKind::publish:
        return options == 0;
      case StreamKind::subscribe:
        return (options & ~unsigned{kStreamOptionNoEcho}) <= kStreamOptionReset;
    }
    return false;
  }
  // Writes the body.
  void encode(std::span<std::byte, kBytes> out) const {
    out[0] = static_cast<std::byte>(kind);
    out[1] = std::byte{options};
  }
  // Reads the body.
  [[nodiscard]] static StreamOpenBody decode(std::span<const std::byte, kBytes> body) {
    return {static_cast<StreamKind>(body[0]), static_cast<std::uint8_t>(body[1])};
  }
};

// RESET: the end of a stream in both directions.
struct ResetBody {
  static constexpr std::size_t kBytes = 6;
  // Codes of a later version come as numbers without a name.
  CloseCode code = CloseCode::none;
  // Highest correlation id the sender took from its peer; on kinds without requests 0 means that
  // nothing was delivered.
  std::uint32_t last_correlation = 0;

  // Writes the body.
  void encode(std::span<std::byte, kBytes> out) const {
    store_big_endian(out.data(), static_cast<std::uint16_t>(code));
    store_big_endian(out.data() + 2, last_correlation);
  }
  // Reads the body.
  [[nodiscard]] static ResetBody decode(std::span<const std::byte, kBytes> body) {
    return {static_cast<CloseCode>(load_big_endian<std::uint16_t>(body.data())),
            load_big_endian<std::uint32_t>(body.data() + 2)};
  }
};

// CREDIT: bytes the receiver may send on the stream (0: the connection), counted from its start.
struct CreditBody {
  static constexpr std::size_t kBytes = 8;
  std::uint64_t total_bytes = 0;

  // Writes the body.
  void encode(std::span<std::byte, kBytes> out) const { store_big_endian(out.data(), total_bytes); }
  // Reads the body.
  [[nodiscard]] static CreditBody decode(std::span<const std::byte, kBytes> body) {
    return {load_big_endian<std::uint64_t>(body.data())};
  }
};

// STREAM_LIMIT: the highest stream id its receiver may open.
struct StreamLimitBody {
  static constexpr std::size_t kBytes = 4;
  std::uint32_t highest_stream = 0;

  // Writes the body.
  void encode(std::span<std::byte, kBytes> out) const {
    store_big_endian(out.data(), highest_stream);
  }
  // Reads the body.
  [[nodiscard]] static StreamLimitBody decode(std::span<const std::byte, kBytes> body) {
    return {load_big_endian<std::uint32_t>(body.data())};
  }
};

// AUTH_OK: how long the renewed credential holds.
struct AuthOkBody {
  static constexpr std::size_t kBytes = 4;
  // Of a credential without end.
  static constexpr std::uint32_t kNoEnd = 0xFFFFFFFF;
  std::uint32_t seconds_left = 0;

  // Writes the body.
  void encode(std::span<std::byte, kBytes> out) const {
    store_big_endian(out.data(), seconds_left);
  }
  // Reads the body.
  [[nodiscard]] static AuthOkBody decode(std::span<const std::byte, kBytes> body) {
    return {load_big_endian<std::uint32_t>(body.data())};
  }
};

// PUBLISHED: the level a message reached, as metadata key ACK_LEVEL counts them.
struct PublishedBody {
  static constexpr std::size_t kBytes = 1;
  std::uint8_t level = 0;

  // Writes the body.
  void encode(std::span<std::byte, kBytes> out) const { out[0] = std::byte{level}; }
  // Reads the body.
  [[nodiscard]] static PublishedBody decode(std::span<const std::byte, kBytes> body) {
    return {static_cast<std::uint8_t>(body[0])};
  }
};

}  // namespace valkyrie::protocol
