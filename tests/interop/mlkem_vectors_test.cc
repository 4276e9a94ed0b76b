// The library's ML-KEM-768 against NIST's vectors for FIPS 203. What is not part of a Noise
// handshake, a chosen entropy and NIST's long form of a private key, is asked of the library
// itself.
#include <algorithm>
#include <cctype>
#include <crypto/fipsmodule/bcm_interface.h>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <openssl/bytestring.h>

#include "protocol/crypto/raw.h"
#include "protocol/noise/primitives.h"
#include "tests/conformance/vector_file.h"

namespace valkyrie::protocol::noise {
namespace {

using conformance::bytes_of;
using conformance::hex_of;
using conformance::text_of;
using crypto::out_of;
using crypto::raw;
using Object = boost::json::object;

boost::json::array groups_of(const std::string& kind) {
  std::ifstream file(std::string(VALKYRIE_MLKEM_VECTORS) + "/ML-KEM-" + kind +
                     "-FIPS203/internalProjection.json");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return boost::json::parse(text).as_object().at("testGroups").as_array();
}

// Calls `check` with each vector of ML-KEM-768, and its group. How many there were.
template <class Check>
int for_each(const std::string& kind, std::string_view function, Check check) {
  int count = 0;
  for (const auto& value : groups_of(kind)) {
    const Object& group = value.as_object();
    if (text_of(group, "parameterSet") != "ML-KEM-768") continue;
    if (text_of(group, "function") != function) continue;
    for (const auto& test : group.at("tests").as_array()) {
      SCOPED_TRACE(conformance::number_of(test.as_object(), "tcId"));
      check(test.as_object(), group);
      ++count;
    }
  }
  return count;
}

// NIST writes hexadecimal digits in upper case.
std::string digits_of(const Object& object, std::string_view key) {
  std::string text = text_of(object, key);
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::vector<std::byte> bytes_in(const Object& object, std::string_view key) {
  return bytes_of(boost::json::value(digits_of(object, key)));
}

CBS view(const std::vector<std::byte>& bytes) {
  CBS view;
  CBS_init(&view, raw(bytes), bytes.size());
  return view;
}

TEST(MlKem768, keys_are_nists) {
  const int count = for_each("keyGen", "", [](const Object& test, const Object&) {
    auto seed = bytes_in(test, "d");
    std::ranges::copy(bytes_in(test, "z"), std::back_inserter(seed));
    const KemKeyPair pair(crypto::Secret<kKemSeedBytes>{std::span(seed).first<kKemSeedBytes>()});
    EXPECT_EQ(hex_of(pair.encapsulation_key()), digits_of(test, "ek"));
  });
  EXPECT_EQ(count, 25);
}

TEST(MlKem768, encapsulated_secrets_are_nists) {
  const int count = for_each("encapDecap", "encapsulation", [](const Object& test, const Object&) {
    const auto encoded = bytes_in(test, "ek");
    CBS bytes = view(encoded);
    MLKEM768_public_key key;
    ASSERT_EQ(bssl::BCM_mlkem768_parse_public_key(&key, &bytes), bssl::bcm_status::approved);
    const auto entropy = bytes_in(test, "m");
    KemCiphertext ciphertext{};
    std::array<std::byte, kKeyBytes> secret{};
    bssl::BCM_mlkem768_encap_external_entropy(out_of(ciphertext), out_of(secret), &key,
                                              raw(entropy));
    EXPECT_EQ(hex_of(ciphertext), digits_of(test, "c"));
    EXPECT_EQ(hex_of(secret), digits_of(test, "k"));
  });
  EXPECT_EQ(count, 25);
}

// Of altered ciphertexts too, whose secret is another one that nobody has.
TEST(MlKem768, decapsulated_secrets_are_nists) {
  const int count =
      for_each("encapDecap", "decapsulation", [](const Object& test, const Object& group) {
        const auto encoded = bytes_in(group, "dk");
        CBS bytes = view(encoded);
        MLKEM768_private_key key;
        ASSERT_EQ(bssl::BCM_mlkem768_parse_private_key(&key, &bytes), bssl::bcm_status::approved);
        const auto ciphertext = bytes_in(test, "c");
        std::array<std::byte, kKeyBytes> secret{};
        ASSERT_EQ(MLKEM768_decap(out_of(secret), raw(ciphertext), ciphertext.size(), &key), 1);
        EXPECT_EQ(hex_of(secret), digits_of(test, "k"));
      });
  EXPECT_EQ(count, 10);
}

}  // namespace
}  // namespace valkyrie::protocol::noise
