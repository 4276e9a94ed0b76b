// Who a certificate is for. Spec: docs/spec/tls.md, "Identity".
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace valkyrie::protocol::tls {

// Bytes of a name, so that an IDENTITY can hold it.
inline constexpr std::size_t kNameBytesMax = 500;

// The name in a certificate, DER: its one SPIFFE id as it stands, else "dns:" or "email:" and the
// first alternative name of that kind, else "cn:" and the common name. Nothing if there is none
// that is printable and short enough, if there are two SPIFFE ids, or if it is no certificate. It
// is not verified. Any thread.
[[nodiscard]] std::optional<std::string> peer_name(std::span<const std::byte> certificate);

}  // namespace valkyrie::protocol::tls
