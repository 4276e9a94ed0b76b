// What the command line prints for programs, read back.
#pragma once

#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

namespace valkyrie::tests {

namespace json = boost::json;

// Parses one JSON text; null, and a failed test, if it is none.
json::value parse_json(std::string_view text);
// Parses each line of JSON Lines.
std::vector<json::value> parse_json_lines(std::string_view text);

}  // namespace valkyrie::tests
