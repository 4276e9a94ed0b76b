#include "protocol/noise/key_text.h"

#include <array>

namespace valkyrie::protocol::noise {

namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

std::string digits_of(std::span<const std::byte, kKeyBytes> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<std::size_t>(byte >> 4)];
    text += kDigits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  return text;
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool read_digits(std::string_view text, std::span<std::byte, kKeyBytes> bytes) {
  if (text.size() != 2 * kKeyBytes) return false;
  for (std::size_t i = 0; i < kKeyBytes; ++i) {
    const int high = digit_of(text[2 * i]);
    const int low = digit_of(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = static_cast<std::byte>(high << 4 | low);
  }
  return true;
}

}  // namespace

std::string key_text(const PublicKey& key) { return digits_of(key); }

std::string key_text(const SecretKey& key) { return digits_of(key.bytes()); }

std::optional<PublicKey> public_key_of(std::string_view text) {
  PublicKey key{};
  if (!read_digits(text, key)) return std::nullopt;
  return key;
}

bool read_key(std::string_view text, KeyPair& key) {
  SecretKey secret;
  if (!read_digits(text, secret.bytes())) return false;
  key.set_secret(secret.bytes());
  return true;
}

void make_key(Entropy& entropy, KeyPair& key) {
  SecretKey secret;
  entropy.fill(secret.bytes());
  key.set_secret(secret.bytes());
}

}  // namespace valkyrie::protocol::noise
