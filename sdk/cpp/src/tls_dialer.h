// Whom this client trusts on TLS channels, and what it shows. Private to this folder.
#pragma once

#include <memory>
#include <string>

#include "protocol/tls/dialer.h"
#include "valkyrie/status.h"

namespace valkyrie::detail {

// Files, PEM. Empty: none.
struct TlsFiles {
  std::string roots;  // Empty: the authorities that this system trusts.
  std::string revoked;
  std::string certificate;
  std::string key;
};

// Reads them. The error is invalid_argument: a file cannot be read or used, the key may be read by
// other users, or this system trusts nobody where it is asked whom.
[[nodiscard]] Result<std::unique_ptr<protocol::tls::Dialer>> make_tls_dialer(const TlsFiles& files,
                                                                             bool require_pq);

}  // namespace valkyrie::detail
