#include "server/ops/security.h"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <sys/stat.h>
#include <utility>
#include <vector>

#include "server/policy/security_text.h"

namespace valkyrie::server {
namespace {

// The longest of the files that are read: each kind has its own limit below this.
constexpr std::uintmax_t kFileBytesMax = policy::kApiKeyFileBytesMax;

std::expected<std::string, std::string> read_file(const std::string& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return std::unexpected(fmt::format("{}: {}", path, error.message()));
  if (size > kFileBytesMax) return std::unexpected(fmt::format("{}: it is too long", path));
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) return std::unexpected(fmt::format("{}: cannot be read", path));
  return text;
}

bool only_for_owner(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && (status.st_mode & 077) == 0;
}

std::expected<policy::Provider, std::string> load_provider(const policy::ProviderDraft& draft,
                                                           const std::filesystem::path& folder) {
  if (draft.keys_path.empty()) return policy::make_provider(draft, {});
  const std::string path = (folder / draft.keys_path).string();
  if (draft.symmetric == policy::SymmetricKeys::accepted && !only_for_owner(path)) {
    return std::unexpected(
        fmt::format("{}: it holds secrets and others may read it; chmod 600 it", path));
  }
  const auto keys = read_file(path);
  if (!keys) return std::unexpected(keys.error());
  auto provider = policy::make_provider(draft, *keys);
  if (!provider) return std::unexpected(fmt::format("{}: {}", path, provider.error()));
  return provider;
}

}  // namespace

std::expected<std::shared_ptr<const Security>, std::string> load_security(const std::string& path) {
  auto security = std::make_shared<Security>();
  if (path.empty()) return security;
  const auto text = read_file(path);
  if (!text) return std::unexpected(text.error());
  auto draft = policy::parse_security_text(*text);
  if (!draft) return std::unexpected(fmt::format("{}: {}", path, draft.error()));
  std::vector<policy::Provider> providers;
  for (const policy::ProviderDraft& each : draft->providers) {
    auto provider = load_provider(each, std::filesystem::path(path).parent_path());
    if (!provider) return std::unexpected(std::move(provider.error()));
    providers.push_back(*std::move(provider));
  }
  auto compiled = policy::Policy::compile(std::move(draft->policy));
  if (!compiled) return std::unexpected(fmt::format("{}: {}", path, compiled.error()));
  security->providers = policy::ProviderChain(std::move(providers));
  security->policy = *std::move(compiled);
  return security;
}

}  // namespace valkyrie::server
