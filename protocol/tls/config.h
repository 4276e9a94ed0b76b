// What a side of TLS channels is told: files as text, and whom to trust. Spec: docs/spec/tls.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace valkyrie::protocol::tls {

// Seconds since 1970, by which certificates and revocation lists are valid or not. Any thread.
using UnixClock = std::function<std::int64_t()>;

// PEM texts. A certificate comes with what leads to its root, the peer's own certificate first.
struct Credentials {
  std::string certificate;
  std::string key;  // Not encrypted.
};

// Whether an acceptor asks for the dialer's certificate. One that is shown has to be good.
enum class ClientCertificate : std::uint8_t { ignored, optional, required };

// An acceptor: a node.
struct AcceptorConfig {
  Credentials own;
  // PEM: roots of the dialers' certificates. Empty if they are ignored, and only then.
  std::string client_roots;
  // PEM: one list for each authority under `client_roots`; empty: nothing is revoked.
  std::string revoked;
  ClientCertificate client = ClientCertificate::ignored;
  // Refuses dialers that do not offer the hybrid key exchange.
  bool require_pq = false;
  UnixClock clock;
};

// A dialer: a client of nodes.
struct DialerConfig {
  // PEM: roots of the nodes' certificates.
  std::string roots;
  // PEM: one list for each authority under `roots`; empty: nothing is revoked.
  std::string revoked;
  // What to show to who asks; empty texts: nothing.
  Credentials own;
  bool require_pq = false;
  UnixClock clock;
};

}  // namespace valkyrie::protocol::tls
