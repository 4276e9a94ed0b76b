#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "bench/batch.h"

namespace valkyrie::bench {

// The frame of the floor: the 20-byte header of docs/spec/framing.md with what a relay must look at
// and nothing else. Written again here on purpose: a floor that linked the product would fall and
// rise with it.
inline constexpr std::size_t kFloorHeaderBytes = 20;
// Body bytes of one frame; a header that announces more ends the connection.
inline constexpr std::uint32_t kFloorBodyBytesMax = 64U << 10;

inline constexpr std::uint8_t kFloorServe = 0x01;     // From the echo end: requests go to me.
inline constexpr std::uint8_t kFloorServing = 0x02;   // The relay's answer to it.
inline constexpr std::uint8_t kFloorRequest = 0x80;   // Carries the payload.
inline constexpr std::uint8_t kFloorResponse = 0x81;  // Carries it back.

// Header fields in host byte order.
struct FloorHeader {
  std::uint8_t type;
  std::uint32_t stream_id;
  std::uint32_t body_bytes;
  std::uint32_t correlation_id;
};

// Reads a big-endian number from 4 bytes.
inline std::uint32_t load_u32(const std::byte* from) {
  std::uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return std::byteswap(value);
}

// Writes a number as 4 big-endian bytes.
inline void store_u32(std::byte* to, std::uint32_t value) {
  value = std::byteswap(value);
  std::memcpy(to, &value, sizeof value);
}

// Reads a header; false when magic, version, metadata or body length are not what the floor sends.
// REQUIRES: kFloorHeaderBytes readable at `from`
inline bool decode_floor_header(const std::byte* from, FloorHeader& header) {
  constexpr std::uint32_t kMagicAndVersion = 0x564B0200;
  if ((load_u32(from) & 0xFFFFFF00U) != kMagicAndVersion) return false;
  header.type = static_cast<std::uint8_t>(from[3]);
  header.stream_id = load_u32(from + 8);
  header.body_bytes = load_u32(from + 12);
  header.correlation_id = load_u32(from + 16);
  return (load_u32(from + 4) & 0xFFFFU) == 0 && header.body_bytes <= kFloorBodyBytesMax;
}

// Writes a header. REQUIRES: kFloorHeaderBytes writable at `to`
inline void encode_floor_header(std::byte* to, const FloorHeader& header) {
  constexpr std::uint32_t kDataClassDefaultUrgency = 0x00700000;  // Flags 0, qos 0x70, no metadata.
  store_u32(to, 0x564B0200U | header.type);
  store_u32(to + 4, kDataClassDefaultUrgency);
  store_u32(to + 8, header.stream_id);
  store_u32(to + 12, header.body_bytes);
  store_u32(to + 16, header.correlation_id);
}

// Appends one frame to a batch of output.
inline void append_floor_frame(Batch& out, const FloorHeader& header, const std::byte* payload) {
  std::byte* const frame = out.extend(kFloorHeaderBytes + header.body_bytes);
  encode_floor_header(frame, header);
  std::memcpy(frame + kFloorHeaderBytes, payload, header.body_bytes);
}

// Calls on_frame(header, start of the frame) for every whole frame at the front of `in`. Returns
// the bytes of these frames, or -1 when the peer sends something else than frames.
template <typename OnFrame>
std::ptrdiff_t for_each_floor_frame(std::span<std::byte> in, OnFrame on_frame) {
  std::size_t at = 0;
  FloorHeader header{};
  while (in.size() - at >= kFloorHeaderBytes) {
    if (!decode_floor_header(in.data() + at, header)) return -1;
    const std::size_t frame_bytes = kFloorHeaderBytes + header.body_bytes;
    if (in.size() - at < frame_bytes) break;
    on_frame(header, in.data() + at);
    at += frame_bytes;
  }
  return static_cast<std::ptrdiff_t>(at);
}

}  // namespace valkyrie::bench
