// What certificates say, for people and for checks. Nothing here is verified.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace valkyrie::protocol::tls {

// What one certificate says.
struct CertificateFacts {
  std::string name{};  // As peers are told (peer_name.h); empty if it has none that they would be.
  // Alternative names, such as "DNS:a.example"; those of other kinds are left out. Bytes of
  // strangers: make them printable.
  std::vector<std::string> names{};
  // Nothing for one of over 63 bits, which an Authority never gives.
  std::optional<std::int64_t> serial{};
  // Seconds since 1970.
  std::int64_t not_before = 0;
  std::int64_t not_after = 0;
  bool authority = false;    // May sign others.
  bool self_signed = false;  // Says that it issued itself.
  bool for_servers = false;  // May be a node's,
  bool for_clients = false;  // and a client's.
  bool weak_key = false;     // Of less than 128 bits' strength but RSA's 2048 (112 bits).
  std::vector<std::byte> der{};
};

// The facts of all certificates in a PEM text. The error is for people, and quotes nothing of it.
[[nodiscard]] std::expected<std::vector<CertificateFacts>, std::string> certificate_facts(
    std::string_view pem);

// What one revocation list says.
struct RevocationFacts {
  std::vector<std::int64_t> serials{};  // Of what it takes back,
  bool has_long_serials = false;        // and whether there are others, of over 63 bits.
  std::int64_t next_update = 0;         // Seconds since 1970; from then on it is of no use.
};

// The facts of all revocation lists in a PEM text. The error is as above.
[[nodiscard]] std::expected<std::vector<RevocationFacts>, std::string> revocation_facts(
    std::string_view pem);

}  // namespace valkyrie::protocol::tls
