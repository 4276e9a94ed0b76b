#include "protocol/noise/cipher_state.h"

#include <gtest/gtest.h>
#include <limits>
#include <vector>

namespace valkyrie::protocol::noise {
namespace {

constexpr std::uint64_t kLast = std::numeric_limits<std::uint64_t>::max();

class CipherStateOf : public testing::TestWithParam<Cipher> {
 protected:
  CipherStateOf() {
    const SecretKey key(sha256({}));
    sending_.set_key(key.bytes());
    receiving_.set_key(key.bytes());
  }
  std::vector<std::byte> seal() {
    std::vector<std::byte> sealed(5 + kTagBytes, std::byte{7});
    EXPECT_TRUE(sending_.seal({}, sealed));
    return sealed;
  }

  CipherState sending_{GetParam()};
  CipherState receiving_{GetParam()};
};

TEST_P(CipherStateOf, the_last_nonce_but_one_is_used_and_the_last_is_not) {
  for (CipherState* state : {&sending_, &receiving_}) state->set_nonce(kLast - 1);
  std::vector<std::byte> sealed = seal();
  const std::vector<std::byte> copy = sealed;
  EXPECT_TRUE(receiving_.open({}, sealed));
  EXPECT_EQ(sending_.nonce(), kLast);
  std::vector<std::byte> more(5 + kTagBytes, std::byte{7});
  const std::vector<std::byte> text = more;
  EXPECT_FALSE(sending_.seal({}, more));
  EXPECT_EQ(more, text) << "nothing was encrypted with a nonce that is REKEY's";
  sealed = copy;
  EXPECT_FALSE(receiving_.open({}, sealed));
  EXPECT_EQ(receiving_.nonce(), kLast);
}

TEST_P(CipherStateOf, a_new_key_does_not_give_nonces_back) {
  sending_.set_nonce(kLast);
  sending_.rekey();
  std::vector<std::byte> sealed(5 + kTagBytes);
  EXPECT_FALSE(sending_.seal({}, sealed));
}

TEST_P(CipherStateOf, rekey_changes_the_key_on_both_sides_and_keeps_the_nonce) {
  std::vector<std::byte> sealed = seal();
  ASSERT_TRUE(receiving_.open({}, sealed));
  sending_.rekey();
  EXPECT_EQ(sending_.nonce(), 1u);
  const std::vector<std::byte> copy = seal();
  sealed = copy;
  EXPECT_FALSE(receiving_.open({}, sealed)) << "this side has the old key";
  receiving_.rekey();
  sealed = copy;
  EXPECT_TRUE(receiving_.open({}, sealed));
}

TEST_P(CipherStateOf, what_is_shorter_than_a_tag_is_not_authentic) {
  std::vector<std::byte> sealed(kTagBytes - 1);
  EXPECT_FALSE(receiving_.open({}, sealed));
}

INSTANTIATE_TEST_SUITE_P(Ciphers, CipherStateOf,
                         testing::Values(Cipher::aes_gcm, Cipher::chacha_poly),
                         [](const auto& cipher) {
                           return cipher.param == Cipher::aes_gcm ? "AesGcm" : "ChaChaPoly";
                         });

}  // namespace
}  // namespace valkyrie::protocol::noise
