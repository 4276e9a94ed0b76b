#include "sdk/cpp/src/credential.h"

#include <cstdlib>
#include <fmt/core.h>
#include <string_view>
#include <utility>

#include "protocol/frame.h"
#include "transport/text_file.h"

namespace valkyrie::detail {
namespace {

std::string environment(const char* name) {
  // Read once, before the client has threads of its own.
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? "" : value;
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(kBlanks) - first + 1));
}

std::unexpected<Status> unusable(std::string why) {
  return fail(StatusCode::invalid_argument, std::move(why), Outcome::not_executed);
}

}  // namespace

Credential::Credential(const ClientOptions& options)
    : function_(options.credential), path_(options.token_file) {
  if (function_ || !path_.empty()) return;
  path_ = environment("VALKYRIE_TOKEN_FILE");
  if (path_.empty()) text_ = trimmed(environment("VALKYRIE_TOKEN"));
}

Result<std::string> Credential::read_file() const {
  if (path_.empty()) return text_;
  auto text = transport::read_secret_file(path_);
  if (!text) return unusable(std::move(text.error()));
  std::string credential = trimmed(*text);
  if (credential.empty()) return unusable(fmt::format("{}: there is no credential in it", path_));
  return credential;
}

Result<std::string> Credential::read() const {
  auto credential = function_ ? Result<std::string>(trimmed(function_())) : read_file();
  const std::size_t max = protocol::properties(protocol::FrameType::auth).payload_max;
  if (credential && credential->size() > max) {
    return unusable(fmt::format("the credential is longer than {} bytes", max));
  }
  return credential;
}

Result<void> Credential::check() const {
  if (function_) return {};
  if (auto credential = read(); !credential) return std::unexpected(std::move(credential.error()));
  return {};
}

}  // namespace valkyrie::detail
