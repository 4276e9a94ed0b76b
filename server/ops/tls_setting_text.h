// Settings below `tls.` as people write them. docs/guide/security.md lists every key.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace valkyrie::server {

// What the node's tls:// doors are told. Empty paths: not set.
struct TlsSettings {
  std::string certificate;  // PEM: the node's certificate and those that lead to its root.
  std::string key;          // PEM, closed to other users.
  std::string client_ca;    // PEM: roots of clients' certificates; without it none is asked for.
  std::string crl;          // PEM: certificates of clients that were taken back.
  bool client_optional = false;  // Clients may come without a certificate.
  bool require_pq = false;

  bool operator==(const TlsSettings&) const = default;
};

// Applies `path` = `value`, where `path` begins behind `tls.`. The error, for people, names the key
// and what is wrong.
[[nodiscard]] std::expected<void, std::string> apply_tls_setting(std::string_view path,
                                                                 std::string_view value,
                                                                 TlsSettings& settings);

// Whether the settings make sense together. The error, for people, says what is missing.
[[nodiscard]] std::expected<void, std::string> check_tls_settings(const TlsSettings& settings,
                                                                  bool has_door);

}  // namespace valkyrie::server
