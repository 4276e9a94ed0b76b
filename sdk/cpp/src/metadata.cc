#include "valkyrie/metadata.h"

#include <algorithm>

namespace valkyrie {
namespace {

constexpr std::size_t kNameBytesMax = 128;
constexpr std::size_t kHeadBytes = 4;  // Two lengths before each pair.

bool name_is_legal(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax || name.starts_with("valkyrie-")) return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

bool value_is_legal(std::string_view name, std::string_view value) {
  if (name.ends_with("-bin")) return true;
  return std::ranges::all_of(value, [](char c) { return c >= 0x20 && c <= 0x7e; });
}

void append_length(std::string& to, std::size_t length) {
  to.push_back(static_cast<char>(length >> 8));
  to.push_back(static_cast<char>(length & 0xff));
}

std::size_t length_at(std::string_view from, std::size_t at) {
  return static_cast<std::size_t>(static_cast<unsigned char>(from[at])) << 8 |
         static_cast<unsigned char>(from[at + 1]);
}

}  // namespace

bool Metadata::add(std::string_view name, std::string_view value) {
  if (!name_is_legal(name) || !value_is_legal(name, value)) return false;
  if (count_ == kPairsMax || value.size() > kBytesMax ||
      encoded_.size() + kHeadBytes + name.size() + value.size() > kBytesMax) {
    return false;
  }
  add_received(name, value);
  return true;
}

void Metadata::add_received(std::string_view name, std::string_view value) {
  append_length(encoded_, name.size());
  append_length(encoded_, value.size());
  encoded_.append(name).append(value);
  ++count_;
}

std::optional<std::string_view> Metadata::get(std::string_view name) const {
  for (std::size_t at = 0; auto pair = next(at);) {
    if (pair->name == name) return pair->value;
  }
  return std::nullopt;
}

std::optional<Metadata::Pair> Metadata::next(std::size_t& at) const {
  if (at >= encoded_.size()) return std::nullopt;
  const std::string_view all = encoded_;
  const std::size_t name = length_at(all, at);
  const std::size_t value = length_at(all, at + 2);
  const Pair pair{.name = all.substr(at + kHeadBytes, name),
                  .value = all.substr(at + kHeadBytes + name, value)};
  at += kHeadBytes + name + value;
  return pair;
}

}  // namespace valkyrie
