#include "protocol/tls/testing/authority.h"

#include <openssl/bio.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "protocol/assert.h"

namespace valkyrie::protocol::tls::testing {

struct Authority::Identity {
  bssl::UniquePtr<EVP_PKEY> key;
  bssl::UniquePtr<X509> certificate;
};

namespace {

using Key = bssl::UniquePtr<EVP_PKEY>;

void must(bool done) { VALKYRIE_ASSERT(done); }

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

void add_extension(X509& certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, &certificate, nullptr, nullptr, 0);
  const bssl::UniquePtr<X509_EXTENSION> made(
      X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  must(made != nullptr && X509_add_ext(&certificate, made.get(), -1) == 1);
}

// Of `issuer`, or of itself.
bssl::UniquePtr<X509> sign(const Wish& wish, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  bssl::UniquePtr<X509> made(X509_new());
  X509* const x = made.get();
  must(X509_set_version(x, X509_VERSION_3) == 1);
  must(ASN1_INTEGER_set_int64(X509_get_serialNumber(x), wish.serial) == 1);
  must(ASN1_TIME_set_posix(X509_getm_notBefore(x), wish.not_before) != nullptr);
  must(ASN1_TIME_set_posix(X509_getm_notAfter(x), wish.not_after) != nullptr);
  X509_NAME* const name = X509_get_subject_name(x);
  if (!wish.common_name.empty()) {
    const auto* text = reinterpret_cast<const std::uint8_t*>(wish.common_name.data());
    must(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, text,
                                    static_cast<ossl_ssize_t>(wish.common_name.size()), -1,
                                    0) == 1);
  }
  must(X509_set_issuer_name(x, issuer == nullptr ? name : X509_get_subject_name(issuer)) == 1);
  must(X509_set_pubkey(x, key) == 1);
  add_extension(*x, issuer, NID_basic_constraints,
                wish.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  add_extension(*x, issuer, NID_key_usage,
                wish.authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  if (!wish.usage.empty()) add_extension(*x, issuer, NID_ext_key_usage, wish.usage);
  if (!wish.names.empty()) add_extension(*x, issuer, NID_subject_alt_name, wish.names);
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

std::string text_of(X509* certificate) {
  return text_by([&](BIO* out) { return PEM_write_bio_X509(out, certificate); });
}

std::string text_of(EVP_PKEY* key) {
  return text_by([&](BIO* out) {
    return PEM_write_bio_PKCS8PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

}  // namespace

Authority::Authority(std::unique_ptr<Identity> identity)
    : identity_(std::move(identity)), root_(text_of(identity_->certificate.get())) {}

Authority::Authority(std::string_view name, std::int64_t not_before, std::int64_t not_after)
    : identity_(std::make_unique<Identity>()) {
  identity_->key = make_key(KeyKind::p256);
  identity_->certificate = sign({.common_name = std::string(name),
                                 .not_before = not_before,
                                 .not_after = not_after,
                                 .authority = true},
                                identity_->key.get(), nullptr, identity_->key.get());
  root_ = text_of(identity_->certificate.get());
}

Authority::~Authority() = default;

Credentials Authority::issue(const Wish& wish) const {
  const Key key = make_key(wish.kind);
  const auto made = sign(wish, key.get(), identity_->certificate.get(), identity_->key.get());
  return {.certificate = text_of(made.get()), .key = text_of(key.get())};
}

Credentials Authority::self_signed(const Wish& wish) {
  const Key key = make_key(wish.kind);
  const auto made = sign(wish, key.get(), nullptr, key.get());
  return {.certificate = text_of(made.get()), .key = text_of(key.get())};
}

Credentials Authority::issue_below_a_leaf(const Wish& wish) const {
  const Key leaf_key = make_key(KeyKind::p256);
  const auto leaf = sign({.common_name = "leaf", .serial = 50}, leaf_key.get(),
                         identity_->certificate.get(), identity_->key.get());
  const Key key = make_key(wish.kind);
  const auto made = sign(wish, key.get(), leaf.get(), leaf_key.get());
  return {.certificate = text_of(made.get()) + text_of(leaf.get()), .key = text_of(key.get())};
}

std::unique_ptr<Authority> Authority::issue_authority(std::string_view name) const {
  auto identity = std::make_unique<Identity>();
  identity->key = make_key(KeyKind::p256);
  identity->certificate =
      sign({.common_name = std::string(name), .serial = 100, .authority = true},
           identity->key.get(), identity_->certificate.get(), identity_->key.get());
  return std::unique_ptr<Authority>(new Authority(std::move(identity)));
}

std::string Authority::revoke(const std::vector<std::int64_t>& serials, std::int64_t issued,
                              std::int64_t next) const {
  const bssl::UniquePtr<X509_CRL> list(X509_CRL_new());
  const bssl::UniquePtr<ASN1_TIME> from(ASN1_TIME_set_posix(nullptr, issued));
  const bssl::UniquePtr<ASN1_TIME> until(ASN1_TIME_set_posix(nullptr, next));
  must(X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) == 1);
  must(X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(identity_->certificate.get())) ==
       1);
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
  must(X509_CRL_sign(list.get(), identity_->key.get(), digest_for(identity_->key.get())) != 0);
  return text_by([&](BIO* out) { return PEM_write_bio_X509_CRL(out, list.get()); });
}

std::vector<std::byte> der_of(const std::string& certificate) {
  const bssl::UniquePtr<BIO> text(
      BIO_new_mem_buf(certificate.data(), static_cast<ossl_ssize_t>(certificate.size())));
  const bssl::UniquePtr<X509> parsed(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr));
  must(parsed != nullptr);
  std::uint8_t* bytes = nullptr;
  const int size = i2d_X509(parsed.get(), &bytes);
  must(size > 0);
  const bssl::UniquePtr<std::uint8_t> owner(bytes);
  const auto* begin = reinterpret_cast<const std::byte*>(bytes);
  return {begin, begin + size};
}

}  // namespace valkyrie::protocol::tls::testing
