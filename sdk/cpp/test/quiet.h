// Options of the tests' clients: no log, short pauses. Private to this folder.
#pragma once

#include <chrono>
#include <string_view>

#include "valkyrie/options.h"

namespace valkyrie::test {

inline ClientOptions quiet() {
  ClientOptions options;
  options.log = [](std::string_view) {};
  options.backoff_min = std::chrono::milliseconds{1};
  options.backoff_max = std::chrono::milliseconds{10};
  return options;
}

}  // namespace valkyrie::test
