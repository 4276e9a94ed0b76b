#include "tests/conformance/vector_file.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace valkyrie::conformance {
namespace {

unsigned digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10u;
  throw std::runtime_error("not a lower-case hex digit: " + std::string(1, c));
}

Bytes parse_hex(std::string_view text) {
  Bytes bytes;
  unsigned high = 0;
  bool half = false;
  for (const char c : text) {
    if (c == ' ') continue;
    if (half) bytes.push_back(static_cast<std::byte>(high << 4u | digit(c)));
    if (!half) high = digit(c);
    half = !half;
  }
  if (half) throw std::runtime_error("odd number of hex digits: " + std::string(text));
  return bytes;
}

void append(Bytes& out, const Bytes& piece) { out.insert(out.end(), piece.begin(), piece.end()); }

}  // namespace

std::string source_folder() {
  const char* folder = std::getenv("VALKYRIE_SOURCE_DIR");
  if (folder == nullptr) throw std::runtime_error("run me through ctest: no VALKYRIE_SOURCE_DIR");
  return folder;
}

boost::json::object load_vectors(std::string_view name) {
  const std::string path = source_folder() + "/tests/conformance/" + std::string(name);
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return boost::json::parse(text).as_object();
}

Bytes bytes_of(const boost::json::value& hex) {
  if (hex.is_string()) return parse_hex(hex.as_string());
  Bytes out;
  if (hex.is_object()) {
    const Bytes piece = parse_hex(hex.at("repeat").as_string());
    for (std::int64_t i = 0; i < hex.at("times").as_int64(); ++i) append(out, piece);
    return out;
  }
  for (const auto& piece : hex.as_array()) append(out, bytes_of(piece));
  return out;
}

std::string hex_of(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::byte b : bytes) {
    text += kDigits[std::to_integer<std::size_t>(b >> 4)];
    text += kDigits[std::to_integer<std::size_t>(b & std::byte{15})];
  }
  return text;
}

std::string text_of(const boost::json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value == nullptr ? std::string() : std::string(value->as_string());
}

std::uint64_t number_of(const boost::json::object& object, std::string_view key) {
  return object.at(key).to_number<std::uint64_t>();
}

}  // namespace valkyrie::conformance
