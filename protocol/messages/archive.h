// How one description of a message's fields serves both directions. Private to this folder.
//
// Each message has `describe(archive, message)` that names every field once: number, member, limit.
// Encoder writes them in that order and leaves out what is at its proto3 default; Decoder runs the
// description for each field it meets, so that a field can never be known to one side alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <protozero/exception.hpp>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

#include "protocol/messages/decode_error.h"

namespace valkyrie::messages {

// A reference to a `T` that archive `A` may change only when it decodes.
template <class A, class T>
using Ref = std::conditional_t<A::kEncodes, const T, T>&;

// What a Decoder throws to its own `decode`; never leaves this folder.
struct Refusal {
  DecodeError error;
};

// True for well-formed UTF-8: shortest forms, no surrogates, at most U+10FFFF.
[[nodiscard]] bool is_utf8(std::string_view text);

// Judges a decoded message as a whole; most have nothing to say. Throws Refusal.
template <class T>
void check(const T&) {}

// Writes messages.
class Encoder {
 public:
  static constexpr bool kEncodes = true;

  explicit Encoder(std::string& out) : out_(out), writer_(out) {}
  Encoder(Encoder& parent, std::uint32_t tag) : out_(parent.out_), writer_(parent.writer_, tag) {}

  template <class N>
  void number(std::uint32_t tag, N value, N /*max*/ = std::numeric_limits<N>::max()) {
    if (value != 0) writer_.add_uint64(tag, value);
  }
  template <class N>
  void number(std::uint32_t tag, const std::optional<N>& value,
              N /*max*/ = std::numeric_limits<N>::max()) {
    if (value) writer_.add_uint64(tag, *value);
  }
  void integer(std::uint32_t tag, std::int32_t value) {
    if (value != 0) writer_.add_int32(tag, value);
  }
  void boolean(std::uint32_t tag, bool value) {
    if (value) writer_.add_bool(tag, true);
  }
  void boolean(std::uint32_t tag, const std::optional<bool>& value) {
    if (value) writer_.add_bool(tag, *value);
  }
  template <class E>
  void enumeration(std::uint32_t tag, E value, E /*last*/) {
    number(tag, static_cast<std::uint32_t>(value));
  }
  template <class E>
  void enumeration(std::uint32_t tag, const std::optional<E>& value, E /*last*/) {
    if (value) writer_.add_uint32(tag, static_cast<std::uint32_t>(*value));
  }
  void text(std::uint32_t tag, const std::string& value, std::size_t /*max*/) {
    if (!value.empty()) writer_.add_string(tag, value);
  }
  void bytes(std::uint32_t tag, const std::string& value, std::size_t /*max*/) {
    if (!value.empty()) writer_.add_bytes(tag, value);
  }
  void texts(std::uint32_t tag, const std::vector<std::string>& values, std::size_t /*count*/,
             std::size_t /*max*/) {
    for (const std::string& value : values) writer_.add_string(tag, value);
  }
  void byte_strings(std::uint32_t tag, const std::vector<std::string>& values,
                    std::size_t /*count*/, std::size_t /*max*/) {
    for (const std::string& value : values) writer_.add_bytes(tag, value);
  }
  template <class T>
  void message(std::uint32_t tag, const T& value, std::size_t /*max*/ = 0) {
    const std::size_t before = out_.size();
    {
      Encoder child(*this, tag);
      describe(child, value);
    }
    // The writer takes back an empty submessage, but its presence is a meaning.
    if (out_.size() == before) writer_.add_message(tag, protozero::data_view("", 0));
  }
  template <class T>
  void message(std::uint32_t tag, const std::optional<T>& value) {
    if (value) message(tag, *value);
  }
  template <class T>
  void messages(std::uint32_t tag, const std::vector<T>& values, std::size_t /*count*/,
                std::size_t /*max*/ = 0) {
    for (const T& value : values) message(tag, value);
  }
  // Entries {1: text, 2: text or bytes}.
  template <class Name, class Value>
  void pairs(std::uint32_t tag, const std::vector<std::pair<Name, Value>>& values,
             std::size_t /*count*/, std::size_t /*value max*/) {
    for (const auto& [name, value] : values) {
      Encoder child(*this, tag);
      child.text(1, name, 0);
      if constexpr (std::is_integral_v<Value>) {
        child.number(2, value);
      } else {
        child.bytes(2, value, 0);
      }
    }
  }
  // Alternatives are the messages 1, 2, … of a oneof.
  template <class... Ts>
  void oneof(const std::variant<Ts...>& value) {
    const auto tag = static_cast<std::uint32_t>(value.index() + 1);
    std::visit([&](const auto& alternative) { message(tag, alternative); }, value);
  }

 private:
  std::string& out_;
  protozero::pbf_writer writer_;
};

// Reads one message.
class Decoder {
 public:
  static constexpr bool kEncodes = false;

  explicit Decoder(protozero::data_view bytes) : reader_(bytes) {}

  // Reads all of it into `value`.
  template <class T>
  void read(T& value) {
    while (reader_.next()) {
      taken_ = false;
      describe(*this, value);
      if (!taken_) reader_.skip();
    }
    check(value);
  }

  template <class N>
  void number(std::uint32_t tag, N& value, N max = std::numeric_limits<N>::max()) {
    if (!take(tag, protozero::pbf_wire_type::varint)) return;
    const std::uint64_t read = reader_.get_uint64();
    if (read > max) throw Refusal{DecodeError::value};
    value = static_cast<N>(read);
  }
  template <class N>
  void number(std::uint32_t tag, std::optional<N>& value, N max = std::numeric_limits<N>::max()) {
    if (at(tag, protozero::pbf_wire_type::varint)) number(tag, value.emplace(), max);
  }
  void integer(std::uint32_t tag, std::int32_t& value) {
    if (!take(tag, protozero::pbf_wire_type::varint)) return;
    const std::int64_t read = reader_.get_int64();
    if (!std::in_range<std::int32_t>(read)) throw Refusal{DecodeError::value};
    value = static_cast<std::int32_t>(read);
  }
  void boolean(std::uint32_t tag, bool& value) {
    if (take(tag, protozero::pbf_wire_type::varint)) value = reader_.get_uint64() != 0;
  }
  void boolean(std::uint32_t tag, std::optional<bool>& value) {
    if (at(tag, protozero::pbf_wire_type::varint)) boolean(tag, value.emplace());
  }
  template <class E>
  void enumeration(std::uint32_t tag, E& value, E last) {
    if (!take(tag, protozero::pbf_wire_type::varint)) return;
    const std::uint64_t read = reader_.get_uint64();
    if (read > static_cast<std::uint64_t>(last)) throw Refusal{DecodeError::value};
    value = static_cast<E>(read);
  }
  template <class E>
  void enumeration(std::uint32_t tag, std::optional<E>& value, E last) {
    if (at(tag, protozero::pbf_wire_type::varint)) enumeration(tag, value.emplace(), last);
  }
  void text(std::uint32_t tag, std::string& value, std::size_t max) {
    if (!at(tag, protozero::pbf_wire_type::length_delimited)) return;
    bytes(tag, value, max);
    if (!is_utf8(value)) throw Refusal{DecodeError::not_utf8};
  }
  void bytes(std::uint32_t tag, std::string& value, std::size_t max) {
    if (!take(tag, protozero::pbf_wire_type::length_delimited)) return;
    const protozero::data_view view = view_up_to(max);
    value.assign(view.data(), view.size());
  }
  void texts(std::uint32_t tag, std::vector<std::string>& values, std::size_t count,
             std::size_t max) {
    if (at(tag, protozero::pbf_wire_type::length_delimited)) {
      text(tag, grow(values, count), max);
    }
  }
  void byte_strings(std::uint32_t tag, std::vector<std::string>& values, std::size_t count,
                    std::size_t max) {
    if (at(tag, protozero::pbf_wire_type::length_delimited)) {
      bytes(tag, grow(values, count), max);
    }
  }
  // `max`: bytes of the encoded message; 0: what encloses it bounds it.
  template <class T>
  void message(std::uint32_t tag, T& value, std::size_t max = 0) {
    if (!take(tag, protozero::pbf_wire_type::length_delimited)) return;
    value = T{};  // The last one counts; nothing merges.
    Decoder(view_up_to(max == 0 ? std::numeric_limits<std::size_t>::max() : max)).read(value);
  }
  template <class T>
  void message(std::uint32_t tag, std::optional<T>& value) {
    if (at(tag, protozero::pbf_wire_type::length_delimited)) message(tag, value.emplace());
  }
  template <class T>
  void messages(std::uint32_t tag, std::vector<T>& values, std::size_t count, std::size_t max = 0) {
    if (at(tag, protozero::pbf_wire_type::length_delimited)) message(tag, grow(values, count), max);
  }
  template <class Name, class Value>
  void pairs(std::uint32_t tag, std::vector<std::pair<Name, Value>>& values, std::size_t count,
             std::size_t value_max) {
    if (!take(tag, protozero::pbf_wire_type::length_delimited)) return;
    auto& [name, value] = grow(values, count);
    Decoder child(reader_.get_view());
    while (child.reader_.next()) {
      child.taken_ = false;
      child.text(1, name, kPairNameBytesMax);
      if constexpr (std::is_integral_v<Value>) {
        child.number(2, value);
      } else {
        child.bytes(2, value, value_max);
      }
      if (!child.taken_) child.reader_.skip();
    }
    if (name.empty()) throw Refusal{DecodeError::missing};
  }
  template <class... Ts>
  void oneof(std::variant<Ts...>& value) {
    oneof(value, std::index_sequence_for<Ts...>());
  }
  // True once any field was recognised.
  [[nodiscard]] bool found_any() const { return found_any_; }

 private:
  // Bytes of the name in a pair.
  static constexpr std::size_t kPairNameBytesMax = 256;

  [[nodiscard]] bool at(std::uint32_t tag, protozero::pbf_wire_type type) const {
    return !taken_ && reader_.tag() == tag && reader_.wire_type() == type;
  }
  bool take(std::uint32_t tag, protozero::pbf_wire_type type) {
    if (!at(tag, type)) return false;
    taken_ = true;
    found_any_ = true;
    return true;
  }
  protozero::data_view view_up_to(std::size_t max) {
    const protozero::data_view view = reader_.get_view();
    if (view.size() > max) throw Refusal{DecodeError::limit};
    return view;
  }
  template <class T>
  static T& grow(std::vector<T>& values, std::size_t count) {
    if (values.size() >= count) throw Refusal{DecodeError::limit};
    return values.emplace_back();
  }
  template <class V, std::size_t... I>
  void oneof(V& value, std::index_sequence<I...>) {
    (alternative<I>(value), ...);
  }
  template <std::size_t I, class V>
  void alternative(V& value) {
    constexpr auto kTag = static_cast<std::uint32_t>(I + 1);
    if (at(kTag, protozero::pbf_wire_type::length_delimited)) {
      message(kTag, value.template emplace<I>());
    }
  }

  protozero::pbf_reader reader_;
  bool taken_ = false;
  bool found_any_ = false;
};

// A oneof is described like any message; one with no alternative set means nothing.
template <class A, class... Ts>
void describe(A& archive, std::variant<Ts...>& value) {
  archive.oneof(value);
}
template <class A, class... Ts>
void describe(A& archive, const std::variant<Ts...>& value) {
  archive.oneof(value);
}

// `decode` of every type, where `describe` is known.
template <class T>
std::expected<T, DecodeError> decode_described(std::span<const std::byte> bytes) {
  try {
    T value{};
    Decoder decoder({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    decoder.read(value);
    if constexpr (requires { std::variant_size<T>::value; }) {
      if (!decoder.found_any()) return std::unexpected(DecodeError::missing);
    }
    return value;
  } catch (const Refusal& refusal) {
    return std::unexpected(refusal.error);
  } catch (const protozero::exception&) {
    return std::unexpected(DecodeError::malformed);
  }
}

// `encode` of every type, where `describe` is known.
template <class T>
std::string encode_described(const T& value) {
  std::string out;
  Encoder encoder(out);
  describe(encoder, value);
  return out;
}

}  // namespace valkyrie::messages
