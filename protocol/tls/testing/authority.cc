#include "protocol/tls/testing/authority.h"

#include "protocol/assert.h"
#include "protocol/tls/certificate_facts.h"

namespace valkyrie::protocol::tls::testing {
namespace {

template <class T>
T must(std::expected<T, std::string> made) {
  VALKYRIE_ASSERT(made.has_value());
  return std::move(*made);
}

CertificateRequest request_of(const Wish& wish) {
  return {.common_name = wish.common_name,
          .names = wish.names,
          .usage = wish.usage,
          .not_before = wish.not_before,
          .not_after = wish.not_after,
          .serial = wish.serial,
          .authority = wish.authority,
          .kind = wish.kind};
}

}  // namespace

Authority::Authority(std::string_view name, std::int64_t not_before, std::int64_t not_after)
    : authority_(must(tls::Authority::make({.common_name = std::string(name),
                                            .not_before = not_before,
                                            .not_after = not_after,
                                            .authority = true}))) {}

Credentials Authority::issue(const Wish& wish) const {
  return must(authority_.issue(request_of(wish)));
}

Credentials Authority::self_signed(const Wish& wish) {
  return must(tls::Authority::make(request_of(wish))).own();
}

Credentials Authority::issue_below_a_leaf(const Wish& wish) const {
  const Credentials leaf = issue({.common_name = "leaf", .serial = 50});
  Credentials made = must(must(tls::Authority::open(leaf)).issue(request_of(wish)));
  made.certificate += leaf.certificate;
  return made;
}

std::unique_ptr<Authority> Authority::issue_authority(std::string_view name) const {
  const Credentials below =
      issue({.common_name = std::string(name), .serial = 100, .authority = true});
  return std::unique_ptr<Authority>(new Authority(must(tls::Authority::open(below))));
}

std::string Authority::revoke(const std::vector<std::int64_t>& serials, std::int64_t issued,
                              std::int64_t next) const {
  return authority_.revoke(serials, issued, next);
}

std::vector<std::byte> der_of(const std::string& certificate) {
  return must(certificate_facts(certificate)).front().der;
}

}  // namespace valkyrie::protocol::tls::testing
