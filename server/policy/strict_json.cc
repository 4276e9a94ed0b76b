#include "server/policy/strict_json.h"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_stack.hpp>

namespace valkyrie::policy {
namespace {

namespace json = boost::json;
using Failure = boost::system::error_code;

// Builds the value, and notes the first thing that is against our own rules.
class StrictHandler {
 public:
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);

  explicit StrictHandler(std::size_t values_max) : values_left_(values_max) {}

  [[nodiscard]] std::optional<JsonError> broken() const { return broken_; }
  [[nodiscard]] json::value take() { return stack_.release(); }

  // What the parser calls.
  bool on_document_begin(Failure&) {
    stack_.reset();
    return true;
  }
  bool on_document_end(Failure&) { return true; }
  bool on_object_begin(Failure&) {
    names_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t members, Failure& failure) {
    names_.pop_back();
    stack_.push_object(members);
    return count(failure);
  }
  bool on_array_begin(Failure&) { return true; }
  bool on_array_end(std::size_t elements, Failure& failure) {
    stack_.push_array(elements);
    return count(failure);
  }
  bool on_key_part(json::string_view part, std::size_t, Failure&) {
    name_.append(part.data(), part.size());
    stack_.push_chars(part);
    return true;
  }
  bool on_key(json::string_view part, std::size_t, Failure& failure) {
    name_.append(part.data(), part.size());
    stack_.push_key(part);
    if (names_.back().insert(std::exchange(name_, {})).second) return true;
    return refuse(JsonError::duplicate_name, failure);
  }
  bool on_string_part(json::string_view part, std::size_t, Failure&) {
    stack_.push_chars(part);
    return true;
  }
  bool on_string(json::string_view part, std::size_t, Failure& failure) {
    stack_.push_string(part);
    return count(failure);
  }
  bool on_number_part(json::string_view, Failure&) { return true; }
  bool on_int64(std::int64_t value, json::string_view, Failure& failure) {
    stack_.push_int64(value);
    return count(failure);
  }
  bool on_uint64(std::uint64_t value, json::string_view, Failure& failure) {
    stack_.push_uint64(value);
    return count(failure);
  }
  bool on_double(double value, json::string_view, Failure& failure) {
    stack_.push_double(value);
    return count(failure);
  }
  bool on_bool(bool value, Failure& failure) {
    stack_.push_bool(value);
    return count(failure);
  }
  bool on_null(Failure& failure) {
    stack_.push_null();
    return count(failure);
  }
  bool on_comment_part(json::string_view, Failure&) { return true; }
  bool on_comment(json::string_view, Failure&) { return true; }

 private:
  bool count(Failure& failure) {
    if (values_left_-- > 0) return true;
    values_left_ = 0;
    return refuse(JsonError::too_many_values, failure);
  }

  bool refuse(JsonError error, Failure& failure) {
    broken_ = error;
    failure = json::error::syntax;
    return false;
  }

  std::size_t values_left_;
  json::value_stack stack_;
  std::string name_;
  std::vector<std::set<std::string>> names_;  // Of the objects that are open.
  std::optional<JsonError> broken_;
};

}  // namespace

std::string_view to_string(JsonError error) {
  switch (error) {
    case JsonError::too_long:
      return "it is too long";
    case JsonError::malformed:
      return "it is not JSON";
    case JsonError::duplicate_name:
      return "a name is there twice";
    case JsonError::too_deep:
      return "it is nested too deep";
    case JsonError::too_many_values:
      return "it has too many values";
    case JsonError::no_object:
      return "it is no JSON object";
  }
  return "unknown";
}

std::expected<json::object, JsonError> parse_strict_json(std::string_view text,
                                                         const JsonBounds& bounds) {
  if (text.size() > bounds.bytes_max) return std::unexpected(JsonError::too_long);
  json::parse_options options;
  options.max_depth = bounds.depth_max;
  json::basic_parser<StrictHandler> parser(options, bounds.values_max);
  Failure failure;
  const std::size_t taken = parser.write_some(false, text.data(), text.size(), failure);
  if (parser.handler().broken()) return std::unexpected(*parser.handler().broken());
  if (failure == json::error::too_deep) return std::unexpected(JsonError::too_deep);
  if (failure || taken != text.size()) return std::unexpected(JsonError::malformed);
  json::value value = parser.handler().take();
  json::object* object = value.if_object();
  if (object == nullptr) return std::unexpected(JsonError::no_object);
  return std::move(*object);
}

}  // namespace valkyrie::policy
