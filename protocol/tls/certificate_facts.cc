#include "protocol/tls/certificate_facts.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <utility>

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "protocol/assert.h"
#include "protocol/tls/peer_name.h"
#include "protocol/tls/pem.h"

namespace valkyrie::protocol::tls {
namespace {

// RSA and elliptic curves of fewer bits are broken, or soon are.
constexpr int kRsaBitsGood = 2048;
constexpr int kCurveBitsGood = 253;  // Ed25519; P-256 has more.

std::string text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(ASN1_STRING_length(string))};
}

// An address of 4 or 16 bytes as people write it, in the plain form of eight groups.
std::string address_text(const ASN1_STRING* bytes) {
  const std::uint8_t* at = ASN1_STRING_get0_data(bytes);
  std::string text;
  if (ASN1_STRING_length(bytes) == 4) {
    for (int i = 0; i < 4; ++i) text += (i == 0 ? "" : ".") + std::to_string(at[i]);
    return text;
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (int i = 0; i < ASN1_STRING_length(bytes); ++i) {
    if (i != 0 && i % 2 == 0) text += ':';
    text += kDigits[at[i] >> 4U];
    text += kDigits[at[i] & 15U];
  }
  return text;
}

std::vector<std::string> alternative_names(const X509& certificate) {
  const bssl::UniquePtr<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> all;
  for (std::size_t i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME& name = *sk_GENERAL_NAME_value(names.get(), i);
    if (name.type == GEN_DNS) all.push_back("DNS:" + text_of(name.d.dNSName));
    if (name.type == GEN_URI) all.push_back("URI:" + text_of(name.d.uniformResourceIdentifier));
    if (name.type == GEN_EMAIL) all.push_back("email:" + text_of(name.d.rfc822Name));
    if (name.type == GEN_IPADD) all.push_back("IP:" + address_text(name.d.iPAddress));
  }
  return all;
}

std::int64_t seconds_of(const ASN1_TIME* time) {
  std::int64_t seconds = 0;
  return ASN1_TIME_to_posix(time, &seconds) == 1 ? seconds : 0;
}

std::vector<std::byte> der_of(X509& certificate) {
  std::uint8_t* bytes = nullptr;
  const int size = i2d_X509(&certificate, &bytes);
  VALKYRIE_ASSERT(size > 0);
  const bssl::UniquePtr<std::uint8_t> owner(bytes);
  const auto* begin = reinterpret_cast<const std::byte*>(bytes);
  return {begin, begin + size};
}

bool has_weak_key(const X509& certificate) {
  const bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(&certificate));
  if (key == nullptr) return true;
  const bool rsa = EVP_PKEY_id(key.get()) == EVP_PKEY_RSA;
  return EVP_PKEY_bits(key.get()) < (rsa ? kRsaBitsGood : kCurveBitsGood);
}

std::optional<std::int64_t> serial_of(const ASN1_INTEGER* serial) {
  std::int64_t value = 0;
  if (ASN1_INTEGER_get_int64(&value, serial) == 1) return value;
  ERR_clear_error();
  return std::nullopt;
}

RevocationFacts facts_of(X509_CRL& list) {
  RevocationFacts facts;
  facts.next_update = seconds_of(X509_CRL_get0_nextUpdate(&list));
  const STACK_OF(X509_REVOKED)* const all = X509_CRL_get_REVOKED(&list);
  for (std::size_t i = 0; i < sk_X509_REVOKED_num(all); ++i) {
    const auto serial = serial_of(X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(all, i)));
    if (serial) facts.serials.push_back(*serial);
    facts.has_long_serials = facts.has_long_serials || !serial;
  }
  return facts;
}

CertificateFacts facts_of(X509& certificate) {
  CertificateFacts facts;
  facts.der = der_of(certificate);
  facts.name = peer_name(facts.der).value_or("");
  facts.names = alternative_names(certificate);
  facts.serial = serial_of(X509_get0_serialNumber(&certificate));
  facts.not_before = seconds_of(X509_get0_notBefore(&certificate));
  facts.not_after = seconds_of(X509_get0_notAfter(&certificate));
  facts.authority = X509_check_ca(&certificate) == 1;
  facts.self_signed =
      X509_NAME_cmp(X509_get_subject_name(&certificate), X509_get_issuer_name(&certificate)) == 0;
  facts.for_servers = X509_check_purpose(&certificate, X509_PURPOSE_SSL_SERVER, 0) == 1;
  facts.for_clients = X509_check_purpose(&certificate, X509_PURPOSE_SSL_CLIENT, 0) == 1;
  facts.weak_key = has_weak_key(certificate);
  ERR_clear_error();
  return facts;
}

}  // namespace

std::expected<std::vector<CertificateFacts>, std::string> certificate_facts(std::string_view pem) {
  const auto certificates = read_certificates(pem);
  if (!certificates) return std::unexpected(certificates.error());
  std::vector<CertificateFacts> all;
  for (const auto& each : *certificates) all.push_back(facts_of(*each));
  return all;
}

std::expected<std::vector<RevocationFacts>, std::string> revocation_facts(std::string_view pem) {
  const auto lists = read_revocations(pem);
  if (!lists) return std::unexpected(lists.error());
  std::vector<RevocationFacts> all;
  for (const auto& each : *lists) all.push_back(facts_of(*each));
  return all;
}

}  // namespace valkyrie::protocol::tls
