// Bounds of what any credential may say about its owner.
#pragma once

#include <cstddef>

namespace valkyrie::policy {

// Groups of an identity, and bytes of each.
inline constexpr std::size_t kGroupsMax = 128;
inline constexpr std::size_t kGroupBytesMax = 256;
// Bytes of tenant and subject together: what IDENTITY carries beside method and length.
inline constexpr std::size_t kIdentityBytesMax = 510;
inline constexpr std::size_t kTenantBytesMax = 255;

}  // namespace valkyrie::policy
