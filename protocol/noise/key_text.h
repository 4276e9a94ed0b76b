// Keys as people write them: 64 hexadecimal digits. Spec: docs/spec/noise.md, "Keys".
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "protocol/noise/primitives.h"

namespace valkyrie::protocol::noise {

// The digits, lower case.
[[nodiscard]] std::string key_text(const PublicKey& key);
// The same of a secret: for its file, never for a log.
[[nodiscard]] std::string key_text(const SecretKey& key);
// The key of 64 digits of either case; nothing of anything else.
[[nodiscard]] std::optional<PublicKey> public_key_of(std::string_view text);
// Reads a secret key into `key`, with its public half; false if the text is none.
[[nodiscard]] bool read_key(std::string_view text, KeyPair& key);
// Reads a secret that is no X25519 key, such as a provisioned psk; false if the text is none.
[[nodiscard]] bool read_secret(std::string_view text, SecretKey& secret);
// Makes a new key.
void make_key(Entropy& entropy, KeyPair& key);

}  // namespace valkyrie::protocol::noise
