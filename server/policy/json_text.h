// Text as a JSON string.
#pragma once

#include <string>
#include <string_view>

namespace valkyrie::policy {

// `text` in double quotes, escaped. Bytes from 0x80 are passed on as they are.
[[nodiscard]] std::string json_quote(std::string_view text);

}  // namespace valkyrie::policy
