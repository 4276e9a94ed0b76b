// What PEM texts hold.
// Private to this folder.
#pragma once

#include <expected>
#include <openssl/ssl.h>
#include <string>
#include <string_view>
#include <vector>

namespace valkyrie::protocol::tls {

// Errors say what is wrong with the text, for people, and quote nothing of it.
[[nodiscard]] std::expected<std::vector<bssl::UniquePtr<X509>>, std::string> read_certificates(
    std::string_view pem);
[[nodiscard]] std::expected<std::vector<bssl::UniquePtr<X509_CRL>>, std::string> read_revocations(
    std::string_view pem);
[[nodiscard]] std::expected<bssl::UniquePtr<EVP_PKEY>, std::string> read_key(std::string_view pem);

}  // namespace valkyrie::protocol::tls
