// Makes the certificates that tests need, good ones and every kind of bad one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/tls/config.h"

namespace valkyrie::protocol::tls::testing {

// A time in the life of what wishes ask for by default, in seconds since 1970.
inline constexpr std::int64_t kNow = 1'800'000'000;
inline constexpr std::int64_t kDay = 24 * 60 * 60;

// The keys that certificates are made for.
enum class KeyKind : std::uint8_t { p256, ed25519, rsa2048 };

// What a certificate shall say.
struct Wish {
  std::string common_name{};
  // Alternative names, as in "DNS:a.example,URI:spiffe://a/b,email:x@y,IP:127.0.0.1".
  std::string names{};
  // Extended key usage: "serverAuth", "clientAuth", both with a comma between, or nothing.
  std::string usage{};
  std::int64_t not_before = kNow - kDay;
  std::int64_t not_after = kNow + kDay;
  std::int64_t serial = 1;
  bool authority = false;  // May sign others.
  KeyKind kind = KeyKind::p256;
};

// Signs certificates and revocation lists.
class Authority {
 public:
  // With a key and a self-signed certificate of its own.
  explicit Authority(std::string_view name, std::int64_t not_before = kNow - 1000 * kDay,
                     std::int64_t not_after = kNow + 1000 * kDay);
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  // Its certificate, PEM.
  [[nodiscard]] const std::string& root() const { return root_; }
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
  struct Identity;
  explicit Authority(std::unique_ptr<Identity> identity);

  std::unique_ptr<Identity> identity_;
  std::string root_;
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
