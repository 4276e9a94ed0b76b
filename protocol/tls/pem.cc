#include "protocol/tls/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <utility>

namespace valkyrie::protocol::tls {
namespace {

bssl::UniquePtr<BIO> open_text(std::string_view pem) {
  return bssl::UniquePtr<BIO>(BIO_new_mem_buf(pem.data(), static_cast<ossl_ssize_t>(pem.size())));
}

// Whether reading stopped since there is no more, and not at something broken.
bool at_end() {
  const std::uint32_t error = ERR_peek_last_error();
  const bool end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  return end;
}

// All objects of a kind, at least one.
template <typename T>
std::expected<std::vector<bssl::UniquePtr<T>>, std::string> read_all(
    std::string_view pem, T* (*read)(BIO*, T**, pem_password_cb*, void*), std::string_view kind) {
  ERR_clear_error();
  const bssl::UniquePtr<BIO> text = open_text(pem);
  std::vector<bssl::UniquePtr<T>> all;
  while (T* one = read(text.get(), nullptr, nullptr, nullptr)) all.emplace_back(one);
  if (!at_end()) return std::unexpected("a " + std::string(kind) + " in it is damaged");
  if (all.empty()) return std::unexpected("it holds no " + std::string(kind) + " in PEM form");
  return all;
}

// Nobody is asked for a password.
int no_password(char*, int, int, void*) { return 0; }

}  // namespace

std::expected<std::vector<bssl::UniquePtr<X509>>, std::string> read_certificates(
    std::string_view pem) {
  return read_all<X509>(pem, PEM_read_bio_X509, "certificate");
}

std::expected<std::vector<bssl::UniquePtr<X509_CRL>>, std::string> read_revocations(
    std::string_view pem) {
  return read_all<X509_CRL>(pem, PEM_read_bio_X509_CRL, "revocation list");
}

std::expected<bssl::UniquePtr<EVP_PKEY>, std::string> read_key(std::string_view pem) {
  ERR_clear_error();
  const bssl::UniquePtr<BIO> text = open_text(pem);
  bssl::UniquePtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(text.get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    return std::unexpected("it holds no private key in PEM form that needs no password");
  }
  return key;
}

}  // namespace valkyrie::protocol::tls
