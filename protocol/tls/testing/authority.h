// Makes the certificates that tests need, good ones and every kind of bad one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/tls/authority.h"
#include "protocol/tls/config.h"

namespace valkyrie::protocol::tls::testing {

// A time in the life of what wishes ask for by default, in seconds since 1970.
inline constexpr std::int64_t kNow = 1'800'000'000;
inline constexpr std::int64_t kDay = 24 * 60 * 60;

// What a certificate shall say; by default it is good for a day around kNow.
struct Wish {
  std::string common_name{};
  std::string names{};  // These and the rest: as of CertificateRequest.
  std::string usage{};
  std::int64_t not_before = kNow - kDay;
  std::int64_t not_after = kNow + kDay;
  std::int64_t serial = 1;
  bool authority = false;
  KeyKind kind = KeyKind::p256;
};

// Signs certificates and revocation lists. Wishes that no certificate can meet abort the test.
class Authority {
 public:
  // With a key and a self-signed certificate of its own.
  explicit Authority(std::string_view name, std::int64_t not_before = kNow - 1000 * kDay,
                     std::int64_t not_after = kNow + 1000 * kDay);

  // Its certificate, PEM.
  [[nodiscard]] const std::string& root() const { return authority_.own().certificate; }
  // A certificate with a new key.
  [[nodiscard]] Credentials issue(const Wish& wish) const;
  // The same, signed with its own key by nobody else.
  [[nodiscard]] static Credentials self_signed(const Wish& wish);
  // The same, signed by a certificate that is no authority's, which is shown along.
  [[nodiscard]] Credentials issue_below_a_leaf(const Wish& wish) const;
  // An authority below this one.
  [[nodiscard]] std::unique_ptr<Authority> issue_authority(std::string_view name) const;
  // A list, PEM, that takes these serial numbers back.
  [[nodiscard]] std::string revoke(const std::vector<std::int64_t>& serials,
                                   std::int64_t issued = kNow - kDay,
                                   std::int64_t next = kNow + kDay) const;

 private:
  explicit Authority(tls::Authority authority) : authority_(std::move(authority)) {}

  tls::Authority authority_;
};

// The first certificate of a PEM text, DER.
[[nodiscard]] std::vector<std::byte> der_of(const std::string& certificate);

// A node's certificate for 127.0.0.1 and localhost, and that of a client with a SPIFFE id.
[[nodiscard]] inline Wish node_wish() {
  return {.common_name = "node", .names = "DNS:localhost,IP:127.0.0.1", .usage = "serverAuth"};
}
// The other of them.
[[nodiscard]] inline Wish client_wish() {
  return {.common_name = "client",
          .names = "URI:spiffe://valkyrie.test/client",
          .usage = "clientAuth",
          .serial = 2};
}

}  // namespace valkyrie::protocol::tls::testing
