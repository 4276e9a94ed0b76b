// How ML-KEM-768 goes into a psk3 handshake: docs/spec/noise.md, "Hybrid suites".
#pragma once

#include "protocol/noise/primitives.h"

namespace valkyrie::protocol::noise {

// The psk of a hybrid suite, from the secret of the KEM, what was said to agree on it, and
// `provisioned`: 32 bytes that both sides were given beforehand, or nothing.
void derive_psk(const SecretKey& kem_secret, const EncapsulationKey& key,
                const KemCiphertext& ciphertext, Bytes provisioned, SecretKey& psk);

}  // namespace valkyrie::protocol::noise
