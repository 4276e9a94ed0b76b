#include "tools/valkyrie/security_check.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <sys/stat.h>
#include <utility>

#include "protocol/tls/acceptor.h"
#include "protocol/tls/certificate_facts.h"
#include "server/policy/identity.h"
#include "transport/address.h"
#include "transport/text_file.h"

namespace valkyrie::tools {

namespace {

namespace tls = protocol::tls;
using transport::Address;

// Certificates that end sooner are told of.
constexpr std::chrono::days kSoon{30};

Address parsed(const std::string& url) {
  // What is insecure is told of, not refused.
  const auto address = transport::parse_address(url, {.insecure = true});
  return address ? *address : Address();
}

bool is_local(const Address& address) {
  return address.kind != transport::AddressKind::tcp || transport::is_loopback_host(address.host);
}

bool has_door(const NodeSetup& node, bool Address::* channel) {
  return std::ranges::any_of(node.listen,
                             [&](const std::string& url) { return parsed(url).*channel; });
}

bool demands_certificate(const NodeSetup& node) {
  return !node.setting("tls.client_ca").empty() && node.setting("tls.client") != "optional";
}

// Whether whoever comes through has been chosen by the operator.
bool knows_its_peers(const Address& address, const NodeSetup& node) {
  if (address.tls) return demands_certificate(node);
  return address.noise && !node.setting("noise.keys").empty();
}

SecurityFinding door_finding(const std::string& url, const NodeSetup& node) {
  const Address address = parsed(url);
  if (address.kind == transport::AddressKind::tcp && address.host.empty()) {
    return {FindingLevel::bad, url, "it is no address of a door"};
  }
  const bool encrypted = address.tls || address.noise;
  if (!is_local(address) && !encrypted) {
    return {FindingLevel::bad, url,
            "plain TCP beyond this machine: what passes can be read and forged, and no token is "
            "taken; use tls:// or noise://"};
  }
  if (!node.security.empty()) {
    return {FindingLevel::good, url,
            encrypted ? "encrypted, and the policy decides" : "local, and the policy decides"};
  }
  if (is_local(address)) {
    return {FindingLevel::note, url, "local, and without a policy: whoever comes in may do all"};
  }
  if (knows_its_peers(address, node)) {
    return {FindingLevel::weak, url,
            "whoever has a certificate or key that it takes may do everything; --security FILE "
            "says who may do what"};
  }
  return {FindingLevel::bad, url,
          "anybody who reaches it may do everything; --security FILE says who may do what"};
}

void check_certificate(const std::string& path, const tls::CertificateFacts& facts, bool of_node,
                       policy::WallTime now, SecurityFindings& findings) {
  const auto add = [&](FindingLevel level, std::string text) {
    findings.push_back({level, path, std::move(text)});
  };
  const policy::WallTime until{std::chrono::seconds(facts.not_after)};
  const std::string date = policy::wall_time_text(until);
  if (facts.weak_key) add(FindingLevel::bad, "its key is too short; issue another");
  if (of_node && !facts.for_servers) {
    add(FindingLevel::bad, "it is not for servers; issue one with the usage serverAuth");
  }
  if (of_node && facts.self_signed) {
    add(FindingLevel::weak,
        "it is signed by itself: clients have to be given each such certificate; "
        "valkyrie security init-ca makes an authority");
  }
  if (policy::WallTime(std::chrono::seconds(facts.not_before)) > now) {
    add(FindingLevel::bad, "it is not valid yet; is the clock right?");
  } else if (until <= now) {
    add(FindingLevel::bad, fmt::format("it has expired at {}; renew it and send HUP", date));
  } else if (until - now < kSoon) {
    add(FindingLevel::weak, fmt::format("it expires at {}; renew it and send HUP", date));
  } else {
    add(FindingLevel::good, fmt::format("good until {}", date));
  }
}

std::optional<std::string> read_or_tell(const std::string& path, bool secret,
                                        SecurityFindings& findings) {
  auto text = secret ? transport::read_secret_file(path) : transport::read_text_file(path);
  if (text) return std::move(*text);
  // The error begins with the path.
  const std::string& error = text.error();
  const bool named = error.starts_with(path + ": ");
  findings.push_back({FindingLevel::bad, path, named ? error.substr(path.size() + 2) : error});
  return std::nullopt;
}

void check_certificates(const std::string& path, const std::string& pem, bool of_node,
                        policy::WallTime now, SecurityFindings& findings) {
  const auto facts = tls::certificate_facts(pem);
  if (!facts) return findings.push_back({FindingLevel::bad, path, facts.error()});
  bool first = true;
  for (const tls::CertificateFacts& each : *facts) {
    check_certificate(path, each, of_node && std::exchange(first, false), now, findings);
  }
}

void check_revocations(const std::string& path, const std::string& pem, policy::WallTime now,
                       SecurityFindings& findings) {
  const auto lists = tls::revocation_facts(pem);
  if (!lists) return findings.push_back({FindingLevel::bad, path, lists.error()});
  for (const tls::RevocationFacts& each : *lists) {
    const policy::WallTime until{std::chrono::seconds(each.next_update)};
    const std::string date = policy::wall_time_text(until);
    if (until <= now) {
      findings.push_back({FindingLevel::bad, path,
                          fmt::format("the list is out of date since {}, and every client is "
                                      "refused; make it anew and send HUP",
                                      date)});
    } else {
      findings.push_back({until - now < kSoon ? FindingLevel::weak : FindingLevel::good, path,
                          fmt::format("takes {} certificates back; the next list is due before {}",
                                      each.serials.size(), date)});
    }
  }
}

// Whether the files make a door together.
void check_acceptor(tls::AcceptorConfig config, policy::WallTime now, SecurityFindings& findings) {
  config.clock = [now] { return now.time_since_epoch().count(); };
  if (!config.client_roots.empty()) config.client = tls::ClientCertificate::required;
  if (const auto made = tls::Acceptor::make(config); !made) {
    findings.push_back({FindingLevel::bad, "tls", made.error()});
  }
}

void check_tls_policy(const NodeSetup& node, SecurityFindings& findings) {
  if (!demands_certificate(node)) {
    findings.push_back({FindingLevel::note, "tls.client_ca",
                        "clients may come without a certificate: let a provider of the policy "
                        "know them"});
  } else if (node.setting("tls.crl").empty()) {
    findings.push_back({FindingLevel::note, "tls.crl",
                        "no list: a client's certificate cannot be taken back before it expires; "
                        "valkyrie security revoke makes one"});
  }
  if (node.setting("tls.require_pq") != "true") {
    findings.push_back({FindingLevel::weak, "tls.require_pq",
                        "clients without ML-KEM are taken, whose traffic a later quantum computer "
                        "can read; tls.require_pq=true refuses them"});
  }
}

void check_secret(const std::string& path, std::string_view what, SecurityFindings& findings) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return;
  if ((status.st_mode & 0077U) != 0) {
    findings.push_back({FindingLevel::bad, path,
                        fmt::format("other users may read {}; chmod 600 it, and make another if "
                                    "they may have",
                                    what)});
  } else {
    findings.push_back({FindingLevel::good, path, fmt::format("{}, its owner's alone", what)});
  }
}

}  // namespace

std::string_view to_string(FindingLevel level) {
  switch (level) {
    case FindingLevel::good:
      return "ok";
    case FindingLevel::note:
      return "note";
    case FindingLevel::weak:
      return "weak";
    case FindingLevel::bad:
      return "BAD";
  }
  return "unknown";
}

std::string NodeSetup::setting(const std::string& path) const {
  const auto found = set.find(path);
  return found == set.end() ? std::string() : found->second;
}

void check_doors(const NodeSetup& node, SecurityFindings& findings) {
  for (const std::string& url : node.listen) findings.push_back(door_finding(url, node));
  if (node.listen.empty()) {
    findings.push_back(
        {FindingLevel::note, "doors", "the default ones: loopback and the user's Unix socket"});
  }
}

void check_tls(const NodeSetup& node, policy::WallTime now, SecurityFindings& findings) {
  if (!has_door(node, &Address::tls)) return;
  tls::AcceptorConfig config;
  const std::size_t before = findings.size();
  const auto read = [&](const char* path, std::string& text, bool secret = false) {
    const std::string file = node.setting(path);
    if (file.empty()) return;
    if (auto found = read_or_tell(file, secret, findings)) text = std::move(*found);
  };
  read("tls.certificate", config.own.certificate);
  read("tls.key", config.own.key, /*secret=*/true);
  read("tls.client_ca", config.client_roots);
  read("tls.crl", config.revoked);
  if (findings.size() == before) check_acceptor(config, now, findings);
  if (!config.own.certificate.empty()) {
    check_certificates(node.setting("tls.certificate"), config.own.certificate, true, now,
                       findings);
  }
  if (!config.client_roots.empty()) {
    check_certificates(node.setting("tls.client_ca"), config.client_roots, false, now, findings);
  }
  if (!config.revoked.empty()) {
    check_revocations(node.setting("tls.crl"), config.revoked, now, findings);
  }
  check_tls_policy(node, findings);
}

void check_noise(const NodeSetup& node, SecurityFindings& findings) {
  if (!has_door(node, &Address::noise)) return;
  if (const std::string keys = node.setting("noise.keys"); !keys.empty()) {
    static_cast<void>(read_or_tell(keys, /*secret=*/false, findings));
  } else {
    findings.push_back(
        {FindingLevel::note, "noise.keys", "no list: whoever knows the node's key may come in"});
  }
  if (const std::string psk = node.setting("noise.psk"); !psk.empty()) {
    static_cast<void>(read_or_tell(psk, /*secret=*/true, findings));
  }
  if (node.setting("noise.require_pq") == "false") {
    findings.push_back({FindingLevel::weak, "noise.require_pq",
                        "clients without ML-KEM are taken, whose traffic a later quantum computer "
                        "can read"});
  }
}

void check_state(const NodeSetup& node, SecurityFindings& findings) {
  if (!node.state.empty()) {
    check_secret(node.state + "/noise.key", "the node's Noise key", findings);
    check_secret(node.state + "/audit.key", "the key of its audit log", findings);
  }
  const bool local = std::ranges::all_of(
      node.listen, [](const std::string& url) { return is_local(parsed(url)); });
  if (!node.audit_log.empty()) {
    findings.push_back({FindingLevel::good, "audit", "what happens is written down"});
  } else if (!local) {
    findings.push_back({FindingLevel::weak, "audit",
                        "nothing is written down of who came in and who was refused; --audit-log "
                        "DIR does that"});
  }
}

}  // namespace valkyrie::tools
