// Makes certificates: an authority of one's own, what it signs, and what it takes back. Spec:
// docs/spec/tls.md, "Certificates".
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/tls/config.h"

namespace valkyrie::protocol::tls {

// The keys that certificates are made for.
enum class KeyKind : std::uint8_t { p256, ed25519, rsa2048 };

// What a certificate shall say. Nothing of it is judged: whoever asks decides what is sensible.
struct CertificateRequest {
  std::string common_name{};  // At most 64 bytes.
  // Alternative names, as in "DNS:a.example,URI:spiffe://a/b,email:x@y,IP:127.0.0.1". Visible ASCII
  // and blanks inside of a URI; no other kinds.
  std::string names{};
  // Extended key usage: "serverAuth", "clientAuth", both with a comma between, or nothing.
  std::string usage{};
  // Seconds since 1970.
  std::int64_t not_before = 0;
  std::int64_t not_after = 0;
  std::int64_t serial = 1;  // Unique among all of one authority.
  bool authority = false;   // May sign others.
  KeyKind kind = KeyKind::p256;
};

// A serial number that nobody can guess and that does not come twice.
[[nodiscard]] std::int64_t random_serial();

// A key with its certificate, which signs others. Immutable; any thread.
class Authority {
 public:
  // With a new key and a certificate that it signs itself. Errors, for people, name the part of the
  // request that no certificate can say.
  [[nodiscard]] static std::expected<Authority, std::string> make(
      const CertificateRequest& request);
  // Of a certificate and its key; what leads from it to its root is left out. Errors, for people
  // and without a secret: which text is unusable, and that they do not belong together. Whether the
  // certificate may sign others is not asked: CertificateFacts::authority says so.
  [[nodiscard]] static std::expected<Authority, std::string> open(const Credentials& own);

  ~Authority();
  Authority(Authority&&) noexcept;
  Authority& operator=(Authority&&) noexcept;

  // Its own certificate and key.
  [[nodiscard]] const Credentials& own() const { return own_; }
  // A certificate with a new key. Errors as of make().
  [[nodiscard]] std::expected<Credentials, std::string> issue(
      const CertificateRequest& request) const;
  // Whether the first certificate of a PEM text was signed by this one.
  [[nodiscard]] bool has_issued(std::string_view certificate) const;
  // A list, PEM, that takes these serial numbers back; `issued` and `next`, when another list is
  // due, in seconds since 1970.
  [[nodiscard]] std::string revoke(const std::vector<std::int64_t>& serials, std::int64_t issued,
                                   std::int64_t next) const;

 private:
  struct Pair;
  Authority(std::unique_ptr<Pair> pair, Credentials own);

  std::unique_ptr<Pair> pair_;
  Credentials own_;
};

}  // namespace valkyrie::protocol::tls
