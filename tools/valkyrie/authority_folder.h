// An authority as `valkyrie security init-ca` keeps it: ca.crt, ca.key and ca.crl in a folder.
#pragma once

#include <expected>
#include <string>

#include "protocol/tls/authority.h"
#include "protocol/tls/certificate_facts.h"

namespace valkyrie::tools {

// The authority, with what its certificate says.
struct OpenAuthority {
  protocol::tls::Authority authority;
  protocol::tls::CertificateFacts facts;
  std::string trust_domain;  // Of the SPIFFE ids that it gives.
};

// Reads certificate and key. Errors, for people: there is none, others may read its key, or the
// files are not an authority's.
[[nodiscard]] std::expected<OpenAuthority, std::string> open_authority(const std::string& folder);

}  // namespace valkyrie::tools
