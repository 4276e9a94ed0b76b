// Keys that sign tokens, as files have them: a JWK set with one private key. Spec: RFC 7517, RFC
// 7518 section 6, RFC 8037.
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/object.hpp>

#include "server/policy/key_set.h"

namespace valkyrie::tools {

// A private key, or a shared secret. Its bytes are wiped at its end; texts of it are the caller's.
class SigningKey {
 public:
  // A new one. REQUIRES: not RS256, whose keys other programs make
  [[nodiscard]] static std::unique_ptr<SigningKey> make(policy::TokenAlgorithm algorithm);
  // Reads a set of one key, EdDSA, ES256 or HS256. The error, for people, quotes nothing of it.
  [[nodiscard]] static std::expected<std::unique_ptr<SigningKey>, std::string> parse(
      std::string_view text);

  ~SigningKey();
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;

  // What it signs with.
  [[nodiscard]] policy::TokenAlgorithm algorithm() const { return algorithm_; }
  // The file that parse() reads.
  [[nodiscard]] std::string private_text() const;
  // The set that verifies what it signs; empty for a shared secret, which has no public half.
  [[nodiscard]] std::string public_text() const;
  // A token with these claims: a compact JWS.
  [[nodiscard]] std::string token(const boost::json::object& claims) const;

 private:
  SigningKey(policy::TokenAlgorithm algorithm, std::string id, std::vector<std::byte> secret)
      : algorithm_(algorithm), id_(std::move(id)), secret_(std::move(secret)) {}

  // The key without what is private, but of a shared secret.
  [[nodiscard]] boost::json::object described() const;
  [[nodiscard]] std::vector<std::byte> sign(std::string_view text) const;

  const policy::TokenAlgorithm algorithm_;
  const std::string id_;
  std::vector<std::byte> secret_;
};

}  // namespace valkyrie::tools
