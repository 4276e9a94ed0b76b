// Both ends of the Redis publish rows. RESP as much as publish and subscribe need, parsed in place.

#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <expected>
#include <fmt/format.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "bench/batch.h"
#include "bench/fan_out.h"
#include "bench/socket.h"

namespace valkyrie::bench {
namespace {

constexpr std::string_view kChannel = "bench.news";

std::string_view text_of(std::span<const std::byte> in) {
  return {reinterpret_cast<const char*>(in.data()), in.size()};
}

// A line of RESP, cut off the front of `text`: its number and the bytes it took. nullopt: not
// whole.
struct Line {
  char type;
  long number;
  std::size_t bytes;
};
std::optional<Line> cut_line(std::string_view text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || end < 2) return std::nullopt;
  Line line{.type = text[0], .number = -1, .bytes = end + 1};
  std::from_chars(text.data() + 1, text.data() + end, line.number);
  return line;
}

// A bulk string at `at`, which moves behind it. nullopt: not whole, or none.
std::optional<std::string_view> cut_bulk(std::string_view text, std::size_t& at) {
  const auto line = cut_line(text.substr(at));
  if (!line || line->type != '$' || line->number < 0) return std::nullopt;
  const std::size_t begin = at + line->bytes;
  const auto size = static_cast<std::size_t>(line->number);
  if (text.size() < begin + size + 2) return std::nullopt;
  at = begin + size + 2;
  return text.substr(begin, size);
}

class RedisWire {
 public:
  static std::expected<void, std::string> subscribe(int fd) {
    const std::string command =
        fmt::format("*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{}\r\n", kChannel.size(), kChannel);
    if (!write_all(fd, std::as_bytes(std::span(command)))) {
      return std::unexpected("the Redis server closed the connection");
    }
    std::string seen;
    std::array<std::byte, 512> in;
    while (!seen.ends_with(":1\r\n")) {
      const ssize_t got = read_some(fd, in);
      if (got <= 0 || seen.starts_with("-")) {
        return std::unexpected(fmt::format("the Redis server refused: {}", seen));
      }
      seen.append(reinterpret_cast<const char*>(in.data()), static_cast<std::size_t>(got));
    }
    return {};
  }

  static std::expected<void, std::string> open_publisher(int) { return {}; }

  static void publish(std::span<const std::byte> payload, Batch& out) {
    std::array<char, 12> size;
    const auto end = std::to_chars(size.data(), size.data() + size.size(), payload.size()).ptr;
    out.append("*3\r\n$7\r\nPUBLISH\r\n$10\r\nbench.news\r\n$");
    out.append({size.data(), static_cast<std::size_t>(end - size.data())});
    out.append("\r\n");
    std::memcpy(out.extend(payload.size()), payload.data(), payload.size());
    out.append("\r\n");
  }

  template <typename OnPayload>
  static std::expected<std::size_t, std::string> deliveries(std::span<const std::byte> in, Batch&,
                                                            OnPayload on_payload) {
    const std::string_view text = text_of(in);
    for (std::size_t taken = 0;;) {
      const auto head = cut_line(text.substr(taken));
      if (!head) return taken;
      if (head->type != '*' || head->number != 3) {
        return std::unexpected(std::string(text.substr(taken, head->bytes)));
      }
      std::size_t at = taken + head->bytes;
      std::optional<std::string_view> part;
      for (int i = 0; i < 3; ++i) {  // "message", the channel, the payload.
        part = cut_bulk(text, at);
        if (!part) return taken;
      }
      on_payload(std::as_bytes(std::span(*part)));
      taken = at;
    }
  }

  // Each PUBLISH is answered by the number of its subscribers.
  static std::size_t skip_replies(std::span<const std::byte> in, Batch&) {
    const std::size_t end = text_of(in).rfind('\n');
    return end == std::string_view::npos ? 0 : end + 1;
  }
};

static_assert(kChannel.size() == 10);  // As publish() writes it.

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) {
  using namespace valkyrie::bench;
  return load_main<FanOut<RedisWire>>(argc, argv, "redis_publish");
}
