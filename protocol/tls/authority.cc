#include "protocol/tls/authority.h"

#include <algorithm>
#include <array>
#include <openssl/bio.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string_view>
#include <utility>

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "protocol/assert.h"
#include "protocol/crypto/secret.h"
#include "protocol/tls/pem.h"

namespace valkyrie::protocol::tls {

struct Authority::Pair {
  bssl::UniquePtr<EVP_PKEY> key;
  bssl::UniquePtr<X509> certificate;
};

namespace {

using Key = bssl::UniquePtr<EVP_PKEY>;
using Certificate = bssl::UniquePtr<X509>;
using Done = std::expected<void, std::string>;

// What fails only for want of memory, or by our own mistake.
void must(bool done) { VALKYRIE_ASSERT(done); }

Done cannot(std::string_view part) {
  ERR_clear_error();
  return std::unexpected("no certificate can say this " + std::string(part));
}

Key make_key(KeyKind kind) {
  Key key(EVP_PKEY_new());
  if (kind == KeyKind::p256) {
    bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
    must(EC_KEY_generate_key(ec.get()) == 1 && EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) == 1);
    return key;
  }
  const bssl::UniquePtr<EVP_PKEY_CTX> context(
      EVP_PKEY_CTX_new_id(kind == KeyKind::rsa2048 ? EVP_PKEY_RSA : EVP_PKEY_ED25519, nullptr));
  must(EVP_PKEY_keygen_init(context.get()) == 1);
  if (kind == KeyKind::rsa2048) must(EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), 2048) == 1);
  EVP_PKEY* made = nullptr;
  must(EVP_PKEY_keygen(context.get(), &made) == 1);
  return Key(made);
}

const EVP_MD* digest_for(const EVP_PKEY* key) {
  return EVP_PKEY_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
}

bool add_extension(X509& certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, &certificate, nullptr, nullptr, 0);
  const bssl::UniquePtr<X509_EXTENSION> made(
      X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  return made != nullptr && X509_add_ext(&certificate, made.get(), -1) == 1;
}

// The library knows more kinds of names, some of which it takes out of files.
bool are_names(std::string_view names) {
  constexpr std::string_view kKinds[] = {"DNS:", "IP:", "URI:", "email:"};
  if (!std::ranges::all_of(names, [](char c) { return c >= 0x20 && c <= 0x7E; })) return false;
  while (true) {
    const std::size_t end = names.find(',');
    const std::string_view name = names.substr(0, end);
    const auto begins = [&](std::string_view kind) {
      return name.starts_with(kind) && name.size() > kind.size();
    };
    if (std::ranges::none_of(kKinds, begins) || name == "email:copy" || name == "email:move") {
      return false;
    }
    if (end == std::string_view::npos) return true;
    names.remove_prefix(end + 1);
  }
}

Done set_subject(X509& certificate, const std::string& name) {
  if (name.empty()) return {};
  const auto* text = reinterpret_cast<const std::uint8_t*>(name.data());
  const int done =
      X509_NAME_add_entry_by_NID(X509_get_subject_name(&certificate), NID_commonName, MBSTRING_UTF8,
                                 text, static_cast<ossl_ssize_t>(name.size()), -1, 0);
  return done == 1 ? Done() : cannot("common name");
}

Done set_times(X509& certificate, const CertificateRequest& request) {
  const bool set =
      ASN1_TIME_set_posix(X509_getm_notBefore(&certificate), request.not_before) != nullptr &&
      ASN1_TIME_set_posix(X509_getm_notAfter(&certificate), request.not_after) != nullptr;
  return set ? Done() : cannot("time");
}

Done set_extensions(X509& certificate, X509* issuer, const CertificateRequest& request) {
  must(add_extension(certificate, issuer, NID_basic_constraints,
                     request.authority ? "critical,CA:TRUE" : "critical,CA:FALSE"));
  must(add_extension(
      certificate, issuer, NID_key_usage,
      request.authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature"));
  must(add_extension(certificate, issuer, NID_subject_key_identifier, "hash"));
  if (issuer != nullptr) {
    must(add_extension(certificate, issuer, NID_authority_key_identifier, "keyid"));
  }
  if (!request.usage.empty() &&
      !add_extension(certificate, issuer, NID_ext_key_usage, request.usage)) {
    return cannot("usage");
  }
  if (request.names.empty()) return {};
  const bool named = are_names(request.names) &&
                     add_extension(certificate, issuer, NID_subject_alt_name, request.names);
  return named ? Done() : cannot("list of alternative names: " + request.names);
}

// Of `issuer`, or of itself.
std::expected<Certificate, std::string> sign(const CertificateRequest& request, EVP_PKEY* key,
                                             X509* issuer, EVP_PKEY* issuer_key) {
  Certificate made(X509_new());
  X509* const x = made.get();
  must(X509_set_version(x, X509_VERSION_3) == 1);
  must(ASN1_INTEGER_set_int64(X509_get_serialNumber(x), request.serial) == 1);
  must(X509_set_pubkey(x, key) == 1);
  Done done = set_times(*x, request);
  if (done) done = set_subject(*x, request.common_name);
  if (done) {
    must(X509_set_issuer_name(x, X509_get_subject_name(issuer == nullptr ? x : issuer)) == 1);
    done = set_extensions(*x, issuer, request);
  }
  if (!done) return std::unexpected(std::move(done.error()));
  must(X509_sign(x, issuer_key, digest_for(issuer_key)) != 0);
  return made;
}

template <typename Write>
std::string text_by(const Write& write) {
  const bssl::UniquePtr<BIO> out(BIO_new(BIO_s_mem()));
  must(write(out.get()) == 1);
  const std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  must(BIO_mem_contents(out.get(), &bytes, &size) == 1);
  return {reinterpret_cast<const char*>(bytes), size};
}

Credentials text_of(X509* certificate, EVP_PKEY* key) {
  return {.certificate = text_by([&](BIO* out) { return PEM_write_bio_X509(out, certificate); }),
          .key = text_by([&](BIO* out) {
            return PEM_write_bio_PKCS8PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

}  // namespace

std::int64_t random_serial() {
  std::array<std::byte, sizeof(std::int64_t)> bytes{};
  crypto::random_bytes(bytes);
  std::uint64_t value = 0;
  for (const std::byte each : bytes) value = value << 8U | std::to_integer<std::uint64_t>(each);
  return static_cast<std::int64_t>(value >> 1U | 1U);  // Positive, and not 0.
}

Authority::Authority(std::unique_ptr<Pair> pair, Credentials own)
    : pair_(std::move(pair)), own_(std::move(own)) {}

Authority::~Authority() = default;
Authority::Authority(Authority&&) noexcept = default;
Authority& Authority::operator=(Authority&&) noexcept = default;

std::expected<Authority, std::string> Authority::make(const CertificateRequest& request) {
  auto pair = std::make_unique<Pair>();
  pair->key = make_key(request.kind);
  auto made = sign(request, pair->key.get(), nullptr, pair->key.get());
  if (!made) return std::unexpected(std::move(made.error()));
  pair->certificate = std::move(*made);
  Credentials own = text_of(pair->certificate.get(), pair->key.get());
  return Authority(std::move(pair), std::move(own));
}

std::expected<Authority, std::string> Authority::open(const Credentials& own) {
  auto certificates = read_certificates(own.certificate);
  if (!certificates) return std::unexpected("the certificate: " + certificates.error());
  auto key = read_key(own.key);
  if (!key) return std::unexpected("the key: " + key.error());
  auto pair = std::make_unique<Pair>();
  pair->certificate = std::move(certificates->front());
  pair->key = std::move(*key);
  if (X509_check_private_key(pair->certificate.get(), pair->key.get()) != 1) {
    ERR_clear_error();
    return std::unexpected("the key does not belong to the certificate");
  }
  return Authority(std::move(pair), own);
}

std::expected<Credentials, std::string> Authority::issue(const CertificateRequest& request) const {
  const Key key = make_key(request.kind);
  const auto made = sign(request, key.get(), pair_->certificate.get(), pair_->key.get());
  if (!made) return std::unexpected(made.error());
  return text_of(made->get(), key.get());
}

bool Authority::has_issued(std::string_view certificate) const {
  const auto parsed = read_certificates(certificate);
  const bool issued = parsed && X509_verify(parsed->front().get(), pair_->key.get()) == 1;
  ERR_clear_error();
  return issued;
}

std::string Authority::revoke(const std::vector<std::int64_t>& serials, std::int64_t issued,
                              std::int64_t next) const {
  const bssl::UniquePtr<X509_CRL> list(X509_CRL_new());
  const bssl::UniquePtr<ASN1_TIME> from(ASN1_TIME_set_posix(nullptr, issued));
  const bssl::UniquePtr<ASN1_TIME> until(ASN1_TIME_set_posix(nullptr, next));
  must(X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) == 1);
  must(X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(pair_->certificate.get())) == 1);
  must(X509_CRL_set1_lastUpdate(list.get(), from.get()) == 1);
  must(X509_CRL_set1_nextUpdate(list.get(), until.get()) == 1);
  for (const std::int64_t serial : serials) {
    bssl::UniquePtr<X509_REVOKED> revoked(X509_REVOKED_new());
    const bssl::UniquePtr<ASN1_INTEGER> number(ASN1_INTEGER_new());
    must(ASN1_INTEGER_set_int64(number.get(), serial) == 1);
    must(X509_REVOKED_set_serialNumber(revoked.get(), number.get()) == 1);
    must(X509_REVOKED_set_revocationDate(revoked.get(), from.get()) == 1);
    must(X509_CRL_add0_revoked(list.get(), revoked.release()) == 1);
  }
  must(X509_CRL_sort(list.get()) == 1);
  must(X509_CRL_sign(list.get(), pair_->key.get(), digest_for(pair_->key.get())) != 0);
  return text_by([&](BIO* out) { return PEM_write_bio_X509_CRL(out, list.get()); });
}

}  // namespace valkyrie::protocol::tls
