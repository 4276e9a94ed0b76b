#include "tools/valkyrie/json.h"

#include <fmt/format.h>
#include <iterator>
#include <utility>

#include <boost/beast/core/detail/base64.hpp>
#include <boost/json/serialize.hpp>

#include "protocol/status.h"

namespace valkyrie::tools {

namespace {

void append(const json::value& value, std::string& text) {
  if (const json::object* object = value.if_object()) {
    const char* before = "{";
    for (const auto& [name, member] : *object) {
      text.append(std::exchange(before, ",")).append(json::serialize(json::string(name)));
      text.push_back(':');
      append(member, text);
    }
    text.append(object->empty() ? "{}" : "}");
  } else if (const json::array* array = value.if_array()) {
    const char* before = "[";
    for (const json::value& element : *array) {
      text.append(std::exchange(before, ","));
      append(element, text);
    }
    text.append(array->empty() ? "[]" : "]");
  } else if (const double* number = value.if_double()) {
    fmt::format_to(std::back_inserter(text), "{}", *number);
  } else {
    text.append(json::serialize(value));
  }
}

}  // namespace

std::string json_text(const json::value& value) {
  std::string text;
  append(value, text);
  return text;
}

void print_json(const json::value& value) { fmt::print("{}\n", json_text(value)); }

void print_json_rows(Format format, const json::array& rows) {
  if (format != Format::jsonl) {
    print_json(rows);
    return;
  }
  for (const json::value& row : rows) print_json(row);
}

json::value bytes_json(std::string_view bytes) {
  if (protocol::is_utf8(bytes)) return json::string(bytes);
  std::string encoded(boost::beast::detail::base64::encoded_size(bytes.size()), '\0');
  encoded.resize(boost::beast::detail::base64::encode(encoded.data(), bytes.data(), bytes.size()));
  return json::object{{"base64", encoded}};
}

json::object pairs_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
  json::object object;
  for (const auto& [name, value] : pairs) object[name] = value;
  return object;
}

}  // namespace valkyrie::tools
