// JSON output of commands, built with Boost.JSON.
#pragma once

#include <string>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "tools/valkyrie/context.h"

namespace valkyrie::tools {

namespace json = boost::json;

// A document on one line, numbers as people write them: 195.583, where Boost has 1.95583E2.
// REQUIRES: no number is infinite or NaN
[[nodiscard]] std::string json_text(const json::value& value);
// Prints a document and a newline to standard output.
void print_json(const json::value& value);
// Prints the rows of a list: with `jsonl` one document a line, else one array.
void print_json_rows(Format format, const json::array& rows);
// Bytes as JSON: text if they are UTF-8, else {"base64": ...}.
[[nodiscard]] json::value bytes_json(std::string_view bytes);
// Name-value pairs as an object; of several with one name the last counts.
[[nodiscard]] json::object pairs_json(
    const std::vector<std::pair<std::string, std::string>>& pairs);

}  // namespace valkyrie::tools
