// JSON that strangers wrote: what means two things to two readers is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string_view>

#include <boost/json/object.hpp>

namespace valkyrie::policy {

// How much of it is read.
struct JsonBounds {
  std::size_t bytes_max;
  std::size_t depth_max = 8;      // Arrays and objects inside each other.
  std::size_t values_max = 1024;  // Members and elements in all.
};

// What is wrong with a text.
enum class JsonError : std::uint8_t {
  too_long,
  malformed,       // Not RFC 8259, not UTF-8, or with something after it.
  duplicate_name,  // Of two members of one object.
  too_deep,
  too_many_values,
  no_object,  // Something else than an object outside.
};

// The one word for an error in texts and logs.
[[nodiscard]] std::string_view to_string(JsonError error);

// Reads an object. No extension of JSON is taken.
[[nodiscard]] std::expected<boost::json::object, JsonError> parse_strict_json(
    std::string_view text, const JsonBounds& bounds);

}  // namespace valkyrie::policy
