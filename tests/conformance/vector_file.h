// Reads the language-neutral test vectors of this folder. Format: README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json.hpp>

namespace valkyrie::conformance {

// Bytes of a frame, body or value.
using Bytes = std::vector<std::byte>;

// The file `name` of tests/conformance/. Throws if it is missing or no JSON: the test fails.
[[nodiscard]] boost::json::object load_vectors(std::string_view name);

// The source tree: VALKYRIE_SOURCE_DIR, which ctest sets.
[[nodiscard]] std::string source_folder();

// Bytes of a "hex" value: a string (blanks are ignored), {"repeat": hex, "times": n}, or an array
// of these. Throws on anything else.
[[nodiscard]] Bytes bytes_of(const boost::json::value& hex);

// Lower-case hex digits without blanks.
[[nodiscard]] std::string hex_of(std::span<const std::byte> bytes);

// Text of a string member; empty if the member is absent.
[[nodiscard]] std::string text_of(const boost::json::object& object, std::string_view key);

// A number that is not negative. Throws if the member is absent or something else.
[[nodiscard]] std::uint64_t number_of(const boost::json::object& object, std::string_view key);

}  // namespace valkyrie::conformance
