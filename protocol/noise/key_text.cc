#include "protocol/noise/key_text.h"

#include "protocol/hex_text.h"

namespace valkyrie::protocol::noise {

std::string key_text(const PublicKey& key) { return hex_text(key); }

std::string key_text(const SecretKey& key) { return hex_text(key.bytes()); }

std::optional<PublicKey> public_key_of(std::string_view text) {
  PublicKey key{};
  if (!read_hex_text(text, key)) return std::nullopt;
  return key;
}

bool read_key(std::string_view text, KeyPair& key) {
  SecretKey secret;
  if (!read_secret(text, secret)) return false;
  key.set_secret(secret.bytes());
  return true;
}

bool read_secret(std::string_view text, SecretKey& secret) {
  return read_hex_text(text, secret.bytes());
}

void make_key(Entropy& entropy, KeyPair& key) {
  SecretKey secret;
  entropy.fill(secret.bytes());
  key.set_secret(secret.bytes());
}

}  // namespace valkyrie::protocol::noise
