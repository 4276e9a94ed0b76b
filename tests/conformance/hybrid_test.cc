// hybrid.json against protocol/noise/hybrid.h.
#include "protocol/noise/hybrid.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "tests/conformance/vector_file.h"

namespace valkyrie::protocol::noise {
namespace {

using conformance::bytes_of;
using conformance::hex_of;

TEST(Hybrid, vectors_derive_the_psk_that_both_sides_need) {
  const auto file = conformance::load_vectors("hybrid.json");
  const auto& vectors = file.at("vectors").as_array();
  ASSERT_FALSE(vectors.empty());
  for (const auto& value : vectors) {
    const auto& vector = value.as_object();
    SCOPED_TRACE(conformance::text_of(vector, "name"));
    const auto seed = bytes_of(vector.at("seed"));
    const KemKeyPair pair(crypto::Secret<kKemSeedBytes>{std::span(seed).first<kKemSeedBytes>()});
    EXPECT_EQ(hex_of(pair.encapsulation_key()), conformance::text_of(vector, "ek"));
    KemCiphertext ciphertext{};
    std::ranges::copy(bytes_of(vector.at("ct")), ciphertext.begin());
    SecretKey secret;
    pair.decapsulate(ciphertext, secret);
    EXPECT_EQ(hex_of(secret.bytes()), conformance::text_of(vector, "ss"));
    SecretKey psk;
    derive_psk(secret, pair.encapsulation_key(), ciphertext, bytes_of(vector.at("provisioned")),
               psk);
    EXPECT_EQ(hex_of(psk.bytes()), conformance::text_of(vector, "psk"));
  }
}

}  // namespace
}  // namespace valkyrie::protocol::noise
