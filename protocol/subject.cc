#include "protocol/subject.h"

#include <algorithm>

#include "protocol/assert.h"

namespace valkyrie::protocol {
namespace {

constexpr std::string_view kNodeToken = "valkyrie";

constexpr std::array<bool, 256> token_bytes() {
  std::array<bool, 256> legal{};
  for (const char c :
       std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")) {
    legal[static_cast<unsigned char>(c)] = true;
  }
  return legal;
}

constexpr std::array<bool, 256> kTokenByte = token_bytes();

bool is_wildcard(char c) { return c == '*' || c == '>'; }

// The first rule that a token breaks.
std::optional<SubjectError> check_token(std::string_view token, SubjectForm form, bool is_last) {
  if (token.empty()) return SubjectError::empty_token;
  if (form == SubjectForm::filter && (token == "*" || (token == ">" && is_last))) {
    return std::nullopt;
  }
  for (const char c : token) {
    if (kTokenByte[static_cast<unsigned char>(c)]) continue;
    return is_wildcard(c) ? SubjectError::wildcard : SubjectError::illegal_byte;
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(SubjectError error) {
  switch (error) {
    case SubjectError::empty:
      return "the subject is empty";
    case SubjectError::too_long:
      return "the subject is longer than 255 bytes";
    case SubjectError::too_many_tokens:
      return "the subject has more than 16 tokens";
    case SubjectError::empty_token:
      return "the subject has an empty token";
    case SubjectError::illegal_byte:
      return "the subject has a byte that is none of A-Z a-z 0-9 _ - .";
    case SubjectError::wildcard:
      return "a wildcard stands where it has no meaning";
  }
  return "unknown";
}

std::optional<SubjectError> check_subject(std::string_view text, SubjectForm form) {
  if (text.empty()) return SubjectError::empty;
  if (text.size() > kSubjectBytesMax) return SubjectError::too_long;
  std::size_t tokens = 0;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t dot = std::min(text.find('.', from), text.size());
    if (++tokens > kSubjectTokens) return SubjectError::too_many_tokens;
    const auto error = check_token(text.substr(from, dot - from), form, dot == text.size());
    if (error) return error;
    from = dot + 1;
  }
  return std::nullopt;
}

bool is_node_subject(std::string_view text) {
  return text.starts_with(kNodeToken) &&
         (text.size() == kNodeToken.size() || text[kNodeToken.size()] == '.');
}

bool filter_matches(std::string_view filter, std::string_view subject) {
  const SubjectTokens pattern(filter);
  const SubjectTokens text(subject);
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const bool wild = pattern[i] == "*" || pattern[i] == ">";
    if (i == 0 && wild && is_node_subject(subject)) return false;
    if (pattern[i] == ">") return text.size() > i;
    if (i == text.size() || (pattern[i] != "*" && pattern[i] != text[i])) return false;
  }
  return pattern.size() == text.size();
}

SubjectTokens::SubjectTokens(std::string_view text) {
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t dot = std::min(text.find('.', from), text.size());
    VALKYRIE_ASSERT(size_ < tokens_.size());
    tokens_[size_++] = text.substr(from, dot - from);
    from = dot + 1;
  }
}

}  // namespace valkyrie::protocol
