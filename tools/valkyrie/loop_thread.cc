#include "tools/valkyrie/loop_thread.h"

namespace valkyrie::tools {

std::expected<Loops, int> start_loops(std::uint32_t count) {
  Loops loops;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto loop = Loop::create();
    if (!loop) return std::unexpected(report(loop.error()));
    loops.push_back(std::make_unique<LoopThread>(std::move(*loop)));
  }
  return loops;
}

}  // namespace valkyrie::tools
