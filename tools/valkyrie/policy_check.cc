#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>

#include "server/policy/security_text.h"
#include "tools/valkyrie/security_check.h"
#include "transport/text_file.h"

namespace valkyrie::tools {

namespace {

using policy::AuthenticationMethod;

// Who may write the file decides who may do what.
void check_writers(const std::string& path, SecurityFindings& findings) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return;
  if ((status.st_mode & 0022U) != 0) {
    findings.push_back({FindingLevel::bad, path, "other users may write it; chmod go-w it"});
  }
}

void check_api_keys(const std::string& path, const policy::ApiKeys& keys, policy::WallTime now,
                    SecurityFindings& findings) {
  std::size_t good = 0;
  std::size_t endless = 0;
  for (const auto& [prefix, record] : keys.records()) {
    if (record.revoked_at || (record.expires_at && *record.expires_at <= now)) continue;
    ++good;
    if (!record.expires_at) ++endless;
  }
  findings.push_back({endless > 0 ? FindingLevel::note : FindingLevel::good, path,
                      fmt::format("{} API keys are good, {} of them for ever", good, endless)});
}

void check_keys(const policy::ProviderDraft& draft, const std::string& path, policy::WallTime now,
                SecurityFindings& findings) {
  const bool secret = draft.symmetric == policy::SymmetricKeys::accepted;
  const auto text = transport::read_text_file(path);
  if (!text) return findings.push_back({FindingLevel::bad, path, text.error()});
  check_writers(path, findings);
  if (struct stat status{};
      secret && ::stat(path.c_str(), &status) == 0 && (status.st_mode & 0077U) != 0) {
    findings.push_back(
        {FindingLevel::bad, path, "it holds secrets and others may read it; chmod 600 it"});
  }
  const auto provider = policy::make_provider(draft, *text);
  if (!provider) return findings.push_back({FindingLevel::bad, path, provider.error()});
  if (const auto* keys = std::get_if<policy::ApiKeyProvider>(&provider->kind)) {
    return check_api_keys(path, keys->keys, now, findings);
  }
  if (secret) {
    findings.push_back({FindingLevel::weak, path,
                        "whoever may verify these tokens may sign them too; keys of EdDSA or ES256 "
                        "do not have that (valkyrie security keygen token)"});
  } else {
    findings.push_back({FindingLevel::good, path, "it verifies tokens and signs none"});
  }
}

bool allows_everything(const policy::Role& role) {
  return std::ranges::any_of(role.rules, [](const policy::Rule& rule) {
    return rule.effect == policy::Effect::allow && !rule.action;
  });
}

// Roles without bounds for whoever proves anything.
void check_bindings(const std::string& path, const policy::PolicyDraft& draft,
                    SecurityFindings& findings) {
  for (const policy::Binding& binding : draft.bindings) {
    const auto role = std::ranges::find(draft.roles, binding.role, &policy::Role::name);
    if (role == draft.roles.end() || binding.pattern != "*" || !allows_everything(*role)) continue;
    findings.push_back({FindingLevel::weak, path,
                        fmt::format("bind {}: everybody of these may do everything (role \"{}\")",
                                    binding.text(), role->name)});
  }
}

}  // namespace

void check_policy(const NodeSetup& node, policy::WallTime now, SecurityFindings& findings) {
  const std::string& path = node.security;
  if (path.empty()) return;
  const auto text = transport::read_text_file(path);
  if (!text) return findings.push_back({FindingLevel::bad, path, text.error()});
  check_writers(path, findings);
  auto draft = policy::parse_security_text(*text);
  if (!draft) return findings.push_back({FindingLevel::bad, path, draft.error()});
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  for (const policy::ProviderDraft& each : draft->providers) {
    if (each.method == AuthenticationMethod::none) {
      findings.push_back({FindingLevel::weak, path,
                          fmt::format("provider {}: peers that prove nothing come in", each.name)});
    }
    if (!each.keys_path.empty()) {
      check_keys(each, (folder / each.keys_path).string(), now, findings);
    }
  }
  if (draft->providers.empty()) {
    findings.push_back({FindingLevel::weak, path, "it has no provider: every peer is believed"});
  }
  check_bindings(path, draft->policy, findings);
  if (const auto compiled = policy::Policy::compile(std::move(draft->policy)); !compiled) {
    return findings.push_back({FindingLevel::bad, path, compiled.error()});
  }
  findings.push_back({FindingLevel::good, path, "what no rule allows is denied"});
}

}  // namespace valkyrie::tools
