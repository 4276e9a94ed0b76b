#include "tests/e2e/json.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace valkyrie::tests {

json::value parse_json(std::string_view text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  EXPECT_FALSE(error) << error.message() << " in: " << text;
  return value;
}

std::vector<json::value> parse_json_lines(std::string_view text) {
  std::vector<json::value> values;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    values.push_back(parse_json(text.substr(0, end)));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return values;
}

}  // namespace valkyrie::tests
