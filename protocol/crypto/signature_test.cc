// Signatures against the vectors of RFC 8032, section 7.1, RFC 7515, appendix A.3, and an RSA key
// and signature that the openssl program made.
#include "protocol/crypto/signature.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto/hex.h"

namespace valkyrie::protocol::crypto {
namespace {

using testing::bytes_of_hex;
using Bytes = std::vector<std::byte>;

Bytes bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// Each with one bit of it turned.
std::vector<Bytes> altered(const Bytes& bytes) {
  std::vector<Bytes> all(bytes.size() * 8, bytes);
  for (std::size_t bit = 0; bit < all.size(); ++bit) {
    all[bit][bit / 8] ^= std::byte{static_cast<unsigned char>(1u << bit % 8)};
  }
  return all;
}

const Bytes kSeed =
    bytes_of_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
const Bytes kKey = bytes_of_hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
const Bytes kSigned = bytes_of_hex("72");
const Bytes kSignature = bytes_of_hex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");

TEST(Ed25519, signs_as_the_rfc_does) {
  const Ed25519Seed seed(std::span<const std::byte, 32>(kSeed.data(), 32));
  const Ed25519Key key = ed25519_key(seed);
  EXPECT_EQ(Bytes(key.begin(), key.end()), kKey);
  const Ed25519Signature signature = sign_ed25519(seed, kSigned);
  EXPECT_EQ(Bytes(signature.begin(), signature.end()), kSignature);
}

TEST(Ed25519, takes_no_other_text_key_or_signature) {
  EXPECT_TRUE(verify_ed25519(kKey, kSigned, kSignature));
  for (const Bytes& text : altered(kSigned)) EXPECT_FALSE(verify_ed25519(kKey, text, kSignature));
  for (const Bytes& key : altered(kKey)) EXPECT_FALSE(verify_ed25519(key, kSigned, kSignature));
  for (const Bytes& other : altered(kSignature)) {
    EXPECT_FALSE(verify_ed25519(kKey, kSigned, other));
  }
  EXPECT_FALSE(verify_ed25519(std::span(kKey).first(31), kSigned, kSignature));
  EXPECT_FALSE(verify_ed25519(kKey, kSigned, std::span(kSignature).first(63)));
  EXPECT_FALSE(verify_ed25519({}, kSigned, {}));
}

const Bytes kX = bytes_of_hex("7fcdce2770f6c45d4183cbee6fdb4b7b580733357be9ef13bacf6e3c7bd15445");
const Bytes kY = bytes_of_hex("c7f144cd1bbd9b7e872cdfedb9eeb9f4b3695d6ea90b24ad8a4623288588e5ad");
const Bytes kToken = bytes_of(
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNv"
    "bS9pc19yb290Ijp0cnVlfQ");
const Bytes kEs256 = bytes_of_hex(
    "0ed1215379636c483c2f7f155807d402a3b228033af97c7e17819ac3169ea665c50a07d38c3c70e5d8f12daf"
    "084a5480a66590c5f293509a8f3f7f8a83a354d5");

TEST(Es256, takes_no_other_text_point_or_signature) {
  EXPECT_TRUE(verify_es256(kX, kY, kToken, kEs256));
  EXPECT_FALSE(verify_es256(kX, kY, kSigned, kEs256));
  EXPECT_FALSE(verify_es256(kY, kX, kToken, kEs256));
  for (const Bytes& x : altered(kX)) EXPECT_FALSE(verify_es256(x, kY, kToken, kEs256));
  for (const Bytes& other : altered(kEs256)) EXPECT_FALSE(verify_es256(kX, kY, kToken, other));
  EXPECT_FALSE(verify_es256(kX, kY, kToken, std::span(kEs256).first(63)));
  EXPECT_FALSE(verify_es256(kX, kY, kToken, Bytes(64)));
  EXPECT_FALSE(verify_es256(Bytes(32), Bytes(32), kToken, Bytes(64)));
  EXPECT_FALSE(verify_es256({}, {}, kToken, {}));
}

const Bytes kExponent = bytes_of_hex("010001");
const Bytes kText = bytes_of("signed by another library");
const Bytes kModulus = bytes_of_hex(
    "b42dad8c024343fdd1cbe95df7e0ed962ee29f0af5b6a0a348d41edac11337de57a0ea94715ec7be55bbf048"
    "eed82575944e6eca1b019192059e64cfb922f9c4459ecc95076bc5eaac9bb44f6b59b2638f6b65dab22d06f0"
    "5e0076e58ae4225401a59b23b42c3838f052c141fe544bf070f1b923af6d4a1889ad6cc251c12f4a7d3c1a81"
    "04388bedfcede86f29ceb527b1aebe913d557dc7003adfbc51fe6f267dbafbcec8828df3bf037d278772dce8"
    "609b488aef36cd5b0d000998d4b8ec92120061ccb02c109fff030ba1d25f6b07516559a0480a9e5563c7b747"
    "4464aa175d75776a853c5d035da9184e1c50728b04949a81118ea8d0b32ff31c08360d11");
const Bytes kRs256 = bytes_of_hex(
    "66bc5d191f935e2dba750848b817143ab6db8278ad1b4b5e5891f63d50162a4c07bff8bb7493d11b52394746"
    "23e4a78ccff9594ebd4fabbe8a8b8025a11e2a92ff00abf9e28323c09556d7a73f7c14f92cc54b57c10eebf6"
    "7176b289169a8260dca556cf2200fdd5852a253338f8e61c865b414c6762d5a61e389b5172c3fe9d11e3bbe5"
    "2fda32f3433e0f1a15745d6d4f69acb0387b1787598c8fcfe9508e8ad10893c59c5c9d93bf155c00b235b025"
    "a6119ce671a3cf1f655aa476e6200b2dbf69354d7f9131030d585d579a72264b671d8bf125d2ff68a3c05012"
    "2e7e8762817ed4d6bfd47afa092754fa85b0c81364cbe7106cc75dca4e4c841a06c5cec3");

TEST(Rs256, takes_no_other_text_key_or_signature) {
  EXPECT_TRUE(verify_rs256(kModulus, kExponent, kText, kRs256));
  EXPECT_FALSE(verify_rs256(kModulus, kExponent, kSigned, kRs256));
  EXPECT_FALSE(verify_rs256(kModulus, bytes_of_hex("03"), kText, kRs256));
  Bytes other = kRs256;
  other.back() ^= std::byte{1};
  EXPECT_FALSE(verify_rs256(kModulus, kExponent, kText, other));
  EXPECT_FALSE(verify_rs256(kModulus, kExponent, kText, std::span(kRs256).first(255)));
  EXPECT_FALSE(verify_rs256({}, {}, kText, {}));
}

const Bytes kShortModulus = bytes_of_hex(
    "b9d45faf0bdaeeb5c3c5f51963be0acc1aedb0697c28334dae47b4614e76ff108ea1ec0d609e3c63403e037a"
    "48bfc521e1d87dcfef2e7615a3425f48899364dfcf7e912252b936d30d9afbbae92ab0fb39a1cf8d22263f74"
    "db080e9841138f413576a3afa5f4963e14d0653b8ffee74c8e91346019c968c75103aaa5521ab733");
const Bytes kShortRs256 = bytes_of_hex(
    "87acb21558d79c713a847c4ae3f1efc352743e8da53779068a879322e6fc447d3067249cfb747ae3e4aeabde"
    "2303399304b6379fa42c18a1af9d617c4f62876127566123b2ce03970137b14add6c7e7ec87b44991dfe740a"
    "a183555a92f970fb1b16290516d5ce5560c341e4ecf7a09bf839b3e3c380b498e2b228e87370cd44");

TEST(Rs256, takes_no_key_that_is_too_short_or_too_long) {
  EXPECT_FALSE(verify_rs256(kShortModulus, kExponent, kText, kShortRs256)) << "it is a right one";
  const Bytes longer(kRsaBitsMax / 8 + 1, std::byte{0xFF});
  EXPECT_FALSE(verify_rs256(longer, kExponent, kText, longer));
  EXPECT_FALSE(verify_rs256(kModulus, bytes_of_hex("0100000001"), kText, kRs256));
}

TEST(Es256, a_new_key_signs_what_its_public_half_verifies) {
  P256Secret secret;
  make_p256(secret);
  const auto key = p256_key(secret);
  ASSERT_TRUE(key.has_value());
  auto text = bytes_of_hex("010203");
  auto signature = sign_es256(secret, text);
  EXPECT_TRUE(verify_es256(key->x, key->y, text, signature));
  signature[40] ^= std::byte{1};
  EXPECT_FALSE(verify_es256(key->x, key->y, text, signature));
  text.push_back(std::byte{0});
  EXPECT_FALSE(verify_es256(key->x, key->y, text, sign_es256(secret, bytes_of_hex("010203"))));
}

// The key pair of RFC 6979, appendix A.2.5.
TEST(Es256, public_key_of_a_secret_is_the_standards) {
  const auto digits =
      bytes_of_hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
  P256Secret secret;
  std::ranges::copy(digits, secret.bytes().begin());
  const auto key = p256_key(secret);
  ASSERT_TRUE(key.has_value());
  EXPECT_TRUE(std::ranges::equal(
      key->x, bytes_of_hex("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6")));
  EXPECT_TRUE(std::ranges::equal(
      key->y, bytes_of_hex("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299")));
}

TEST(Es256, zero_and_the_order_of_the_group_are_no_secrets) {
  P256Secret secret;
  EXPECT_FALSE(p256_key(secret).has_value());
  const auto order =
      bytes_of_hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
  std::ranges::copy(order, secret.bytes().begin());
  EXPECT_FALSE(p256_key(secret).has_value());
  secret.bytes()[31] ^= std::byte{1};
  EXPECT_TRUE(p256_key(secret).has_value());
}

}  // namespace
}  // namespace valkyrie::protocol::crypto
