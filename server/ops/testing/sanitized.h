// Whether memory can be measured here.
#pragma once

namespace valkyrie::server::testing {

// True where a sanitizer's allocator has sizes of its own, in the test and the programs alike.
inline constexpr bool kSanitized =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    true;
#elif defined(__has_feature)
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
    false;
#endif

}  // namespace valkyrie::server::testing
