// What a job asks of a runner, and whether a runner's labels satisfy it (docs/spec/jobs.md,
// "Matching").
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace valkyrie::jobs {

// A runner's labels: name, value; the last of a name counts.
using Labels = std::vector<std::pair<std::string, std::string>>;

// One condition on labels, such as `os=linux`.
class Constraint {
 public:
  // Reads `key=value`. The error says what is wrong with `text`, for its author.
  static std::expected<Constraint, std::string> parse(std::string_view text);

  // Whether labels satisfy it.
  [[nodiscard]] bool holds(const Labels& labels) const;
  // As written, without blanks around.
  [[nodiscard]] std::string text() const { return key_ + "=" + value_; }

 private:
  Constraint(std::string key, std::string value) : key_(std::move(key)), value_(std::move(value)) {}

  std::string key_;
  std::string value_;
};

// Whether labels satisfy all of them.
[[nodiscard]] bool all_hold(const std::vector<Constraint>& constraints, const Labels& labels);

}  // namespace valkyrie::jobs
