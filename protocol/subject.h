// Subjects and filters: docs/spec/publish.md, "Subjects".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "protocol/constants.h"

namespace valkyrie::protocol {

// Bytes of a subject or filter.
inline constexpr std::size_t kSubjectBytesMax = 255;

// What a text must be: where messages go, or which of them a subscriber wants.
enum class SubjectForm : std::uint8_t { subject, filter };

// Why a text is no subject, or no filter.
enum class SubjectError : std::uint8_t {
  empty,
  too_long,         // Over 255 bytes.
  too_many_tokens,  // Over 16.
  empty_token,      // Two dots, or one at an end.
  illegal_byte,     // None of [A-Za-z0-9_-.].
  wildcard,         // In a subject; or in a filter not as a whole token; or `>` not at the end.
};

// What to tell whoever sent it.
[[nodiscard]] std::string_view to_string(SubjectError error);

// The first rule that `text` breaks, nullopt if it is legal.
[[nodiscard]] std::optional<SubjectError> check_subject(std::string_view text, SubjectForm form);

// Whether a subject or filter begins with the token of the node, `valkyrie`.
[[nodiscard]] bool is_node_subject(std::string_view text);

// Whether a legal filter matches a legal subject: the definition, one token after the other.
[[nodiscard]] bool filter_matches(std::string_view filter, std::string_view subject);

// The tokens of a legal subject or filter, in order. Borrowed.
class SubjectTokens {
 public:
  // REQUIRES: `text` is legal.
  explicit SubjectTokens(std::string_view text);

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::string_view operator[](std::size_t index) const { return tokens_[index]; }
  [[nodiscard]] const std::string_view* begin() const { return tokens_.data(); }
  [[nodiscard]] const std::string_view* end() const { return tokens_.data() + size_; }

 private:
  std::array<std::string_view, kSubjectTokens> tokens_;
  std::size_t size_ = 0;
};

}  // namespace valkyrie::protocol
