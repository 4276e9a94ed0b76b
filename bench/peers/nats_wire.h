#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <fmt/format.h>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "bench/batch.h"
#include "bench/socket.h"

namespace valkyrie::bench {

// The client side of the NATS text protocol, as much of it as request and reply need. Debian has no
// client library; this one parses in place, allocates nothing per message and writes in batches, so
// that the peer is measured and not its client.

// One delivery. Borrowed from the input.
struct NatsMessage {
  std::string_view subject;
  std::string_view reply;  // Empty when none is wanted.
  std::span<const std::byte> payload;
};

// Longest payload taken; a larger one ends the run with an error.
inline constexpr std::uint32_t kNatsPayloadBytesMax = 64U << 10;

// Reads the fields of `MSG subject sid [reply] bytes`; false when the line is malformed.
inline bool parse_nats_delivery(std::string_view line, NatsMessage& message,
                                std::uint32_t& payload_bytes) {
  std::array<std::string_view, 5> fields;
  std::size_t count = 0;
  while (!line.empty() && count < fields.size()) {
    const std::size_t space = line.find(' ');
    fields[count++] = line.substr(0, space);
    line = space == std::string_view::npos ? "" : line.substr(space + 1);
  }
  if (count < 4 || !line.empty()) return false;
  message.subject = fields[1];
  message.reply = count == 5 ? fields[3] : "";
  const std::string_view size = fields[count - 1];
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), payload_bytes);
  return error == std::errc{} && end == size.data() + size.size() &&
         payload_bytes <= kNatsPayloadBytesMax;
}

// Calls on_message(const NatsMessage&) for every whole delivery at the front of `in` and answers
// PING into `out`. Returns the bytes taken; the error is the server's own line.
template <typename OnMessage>
std::expected<std::size_t, std::string> for_each_nats_message(std::span<const std::byte> in,
                                                              Batch& out, OnMessage on_message) {
  const std::string_view text(reinterpret_cast<const char*>(in.data()), in.size());
  std::size_t at = 0;
  for (;;) {
    const void* const found = std::memchr(text.data() + at, '\n', text.size() - at);
    if (found == nullptr) return at;
    const std::size_t line_end =
        static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
    const std::string_view line = text.substr(at, line_end - at - (line_end > at ? 1 : 0));
    std::size_t next = line_end + 1;
    if (line.starts_with("MSG ")) {
      NatsMessage message;
      std::uint32_t payload_bytes = 0;
      if (!parse_nats_delivery(line, message, payload_bytes)) {
        return std::unexpected(std::string(line));
      }
      if (text.size() - next < payload_bytes + 2) return at;
      message.payload = in.subspan(next, payload_bytes);
      next += payload_bytes + 2;
      on_message(message);
    } else if (line.starts_with("PING")) {
      out.append("PONG\r\n");
    } else if (line.starts_with("-ERR")) {
      return std::unexpected(std::string(line));
    }
    at = next;
  }
}

// Appends `PUB subject [reply] bytes` and the payload.
inline void append_nats_publish(Batch& out, std::string_view subject, std::string_view reply,
                                std::span<const std::byte> payload) {
  std::array<char, 12> size;
  const auto end = std::to_chars(size.data(), size.data() + size.size(), payload.size()).ptr;
  out.append("PUB ");
  out.append(subject);
  if (!reply.empty()) {
    out.append(" ");
    out.append(reply);
  }
  out.append(" ");
  out.append({size.data(), static_cast<std::size_t>(end - size.data())});
  out.append("\r\n");
  std::memcpy(out.extend(payload.size()), payload.data(), payload.size());
  out.append("\r\n");
}

// Dials in on a connected blocking socket, subscribes to `subject` and waits until the server has
// taken that. The error is one line for the user.
inline std::expected<void, std::string> open_nats(int fd, std::string_view subject) {
  const std::string hello = fmt::format(
      "CONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"cpp\",\"version\":\"1\","
      "\"protocol\":1}}\r\nSUB {} 1\r\nPING\r\n",
      subject);
  if (!write_all(fd, std::as_bytes(std::span(hello)))) {
    return std::unexpected("the NATS server closed the connection");
  }
  std::string seen;
  std::array<std::byte, 4096> in;
  while (!seen.ends_with("PONG\r\n")) {
    const ssize_t got = read_some(fd, in);
    if (got <= 0 || seen.find("-ERR") != std::string::npos) {
      return std::unexpected(fmt::format("the NATS server refused: {}", seen));
    }
    seen.append(reinterpret_cast<const char*>(in.data()), static_cast<std::size_t>(got));
  }
  return {};
}

}  // namespace valkyrie::bench
