// Tokens and keys that another program made (Python, cryptography 48): RS256 and ES256, of the
// issuer https://id.example.com for the audience `valkyrie` and the subject ci@example.com until
// 2100.
#pragma once

#include <string_view>

namespace valkyrie::policy::testing {

// The public keys: `r` of RSA with 2,048 bits, `e` on P-256.
inline constexpr std::string_view kVectorKeys =
    R"({"keys":[{"kty":"RSA","kid":"r","alg":"RS256","use":"sig","n":"wnrqA_oEZcB7NPJ17UzCA-W47)"
    R"(18gm89fRMa1E0F5NPyje5BnH5hOBnXgoOrCOdCCdnTkYKHwYgkEZLRvrrNI3ZD5JdIJ8rH3KJ-V_IE8PRz8RGC9s)"
    R"(2U7-_n1oUkM1RZlVN0idtrL_nWW7V7yBbwwOGWsNL7JoNJ-svmMRWP6zeZChzEtCzVk2at-HUyZtRzWfb8JsdDKi)"
    R"(5U6MLzxPD-aN3WfMUadCNIttd5wk-3xX4inKsZIxU6TEOFrMisHw_M41x903HMiv1YV7usnnhcNflTvyzB21ZAko)"
    R"(F_cXIvDK1jYHP0lT3EvhVso6sTSkkacma3ackifzH5HCaYDnzLrFw","e":"AQAB"},{"kty":"EC","crv":"P-)"
    R"(256","kid":"e","x":"qLub5oS3dFScY62dmNjMGUVzwXqtuZz4RthTLkEWGAg","y":"Z_iJnz429gtyqtcImU)"
    R"(iwGtN7qxnrDIf3B4lMrGUJjDA"}]})";

// Signed with `r`.
inline constexpr std::string_view kRs256Token =
    R"(eyJhbGciOiJSUzI1NiIsImtpZCI6InIifQ.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjoid)"
    R"(mFsa3lyaWUiLCJzdWIiOiJjaUBleGFtcGxlLmNvbSIsImV4cCI6NDEwMjQ0NDgwMH0.YT8Zll1wygFr6Tw_OCyVl)"
    R"(8fLMcPGXZMU5r0OPugKy-XgJijhjoJqF6dO_03sZjo1fap2CcbA-Cd2fmhkT8baTRdbkqxZsmqVO1flMc5BeIl1s)"
    R"(Vl3tZLspQhqdDu4Vj3m3Q8Wu-6vYiUKfUoDTDSXXyxpfwRKX7BlPs6SUS6o3D7jlCUHF2B7V9UP-CnQNBGa4GzDe)"
    R"(1NMlJGeKmTCMF_ZzDV0L0wCLhbmSeBDuOEZ21AKZ4Xdkm8lIsLtz0kSeJ1lvQDfc7YtdCfQDJkkRAso1OJ4Az2X3)"
    R"(rTPgPPQCh_VM1MNJ0s0QuLWYbyM6VufZYbPGiu-1LA5O-iI1ifUOkazMA)";

// Signed with `e`.
inline constexpr std::string_view kEs256Token =
    R"(eyJhbGciOiJFUzI1NiIsImtpZCI6ImUifQ.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjoid)"
    R"(mFsa3lyaWUiLCJzdWIiOiJjaUBleGFtcGxlLmNvbSIsImV4cCI6NDEwMjQ0NDgwMH0.B9vl7HN-titev0sfGP6IH)"
    R"(dh5Q1lU8ghK1qllK0CAWC9Fst2amyMH2juj-peIem_MjhPmhprrE-B70EGU2dhg3A)";

}  // namespace valkyrie::policy::testing
