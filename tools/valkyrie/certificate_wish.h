// Certificates as people ask for them: `server:node=localhost,127.0.0.1`, `client:ada`.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace valkyrie::tools {

// Bytes of the name of a certificate, which its files and its SPIFFE id have too.
inline constexpr std::size_t kWishNameBytesMax = 64;

// What is asked for.
struct CertificateWish {
  std::string name;    // Of its files, and its common name.
  std::string usage;   // As of protocol::tls::CertificateRequest, and so are
  std::string names;   // these.
  std::string spiffe;  // The SPIFFE id among them.

  bool operator==(const CertificateWish&) const = default;
};

// Reads `ROLE:NAME[=ALTERNATIVE,...]`. The role is server, client, runner, or peer, which is both
// sides of a channel. An alternative is an IP address, a URI, a mail address or else a host; for
// servers and peers without any it is the name itself. Without a SPIFFE id among them there is
// spiffe://TRUST_DOMAIN/ROLE/NAME. The error, for people, says what to write.
[[nodiscard]] std::expected<CertificateWish, std::string> parse_certificate_wish(
    std::string_view text, std::string_view trust_domain);

// Whether a SPIFFE id can have it: lower-case letters, digits, dots, dashes and underscores.
[[nodiscard]] bool is_trust_domain(std::string_view text);

}  // namespace valkyrie::tools
