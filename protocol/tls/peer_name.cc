#include "protocol/tls/peer_name.h"

#include <algorithm>
#include <openssl/err.h>
#include <string_view>

#include <openssl/x509.h>

#include "protocol/crypto/raw.h"

namespace valkyrie::protocol::tls {
namespace {

constexpr std::string_view kSpiffe = "spiffe://";

// Whether nobody can take it for another name: no control, no blank at an end, nothing invisible.
bool is_plain(std::string_view name) {
  const bool printable = std::ranges::all_of(name, [](char c) { return c >= 0x20 && c <= 0x7E; });
  return printable && !name.empty() && name.size() <= kNameBytesMax && name.front() != ' ' &&
         name.back() != ' ';
}

constexpr std::string_view kDomainCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-._";
constexpr std::string_view kPathCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

bool has_only(std::string_view text, std::string_view characters) {
  return text.find_first_not_of(characters) == text.npos;
}

// "spiffe://", a trust domain and a path of segments, as the SPIFFE-ID standard has them: none is
// empty or means another, so what begins alike is alike.
bool is_spiffe_id(std::string_view uri) {
  if (!is_plain(uri) || !uri.starts_with(kSpiffe)) return false;
  std::string_view rest = uri.substr(kSpiffe.size());
  const std::size_t domain_bytes = rest.find('/');
  if (domain_bytes == 0 || domain_bytes == rest.npos) return false;
  if (!has_only(rest.substr(0, domain_bytes), kDomainCharacters)) return false;
  rest.remove_prefix(domain_bytes);
  while (!rest.empty()) {
    const std::string_view segment = rest.substr(1, rest.find('/', 1) - 1);
    if (segment.empty() || segment == "." || segment == "..") return false;
    if (!has_only(segment, kPathCharacters)) return false;
    rest.remove_prefix(segment.size() + 1);
  }
  return true;
}

std::string_view text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(ASN1_STRING_length(string))};
}

struct AlternativeNames {
  std::string_view spiffe{};
  std::string_view dns{};
  std::string_view email{};
  bool ambiguous = false;  // More than one SPIFFE id, or one that is none.

  void add(const GENERAL_NAME& name) {
    if (name.type == GEN_URI) {
      const std::string_view uri = text_of(name.d.uniformResourceIdentifier);
      if (!uri.starts_with(kSpiffe)) return;
      if (!spiffe.empty() || !is_spiffe_id(uri)) ambiguous = true;
      spiffe = uri;
    } else if (name.type == GEN_DNS) {
      keep_first(dns, text_of(name.d.dNSName));
    } else if (name.type == GEN_EMAIL) {
      keep_first(email, text_of(name.d.rfc822Name));
    }
  }

 private:
  static void keep_first(std::string_view& kept, std::string_view name) {
    if (kept.empty() && is_plain(name)) kept = name;
  }
};

std::optional<std::string> common_name(const X509& certificate) {
  const X509_NAME* const subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  // Of two nobody knows which is meant.
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return std::nullopt;
  const std::string_view name = text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (!is_plain(name)) return std::nullopt;
  return "cn:" + std::string(name);
}

std::optional<std::string> name_of(const X509& certificate) {
  int critical = 0;
  const bssl::UniquePtr<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, &critical, nullptr)));
  // -1: there is none. Anything else without names is damaged, or there are two of them.
  if (names == nullptr && critical != -1) return std::nullopt;
  AlternativeNames found;
  for (std::size_t i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    found.add(*sk_GENERAL_NAME_value(names.get(), i));
  }
  if (found.ambiguous) return std::nullopt;
  if (!found.spiffe.empty()) return std::string(found.spiffe);
  if (!found.dns.empty()) return "dns:" + std::string(found.dns);
  if (!found.email.empty()) return "email:" + std::string(found.email);
  return common_name(certificate);
}

}  // namespace

std::optional<std::string> peer_name(std::span<const std::byte> certificate) {
  const std::uint8_t* at = crypto::raw(certificate);
  const bssl::UniquePtr<X509> parsed(d2i_X509(nullptr, &at, static_cast<long>(certificate.size())));
  std::optional<std::string> name;
  if (parsed != nullptr) name = name_of(*parsed);
  ERR_clear_error();
  return name;
}

}  // namespace valkyrie::protocol::tls
