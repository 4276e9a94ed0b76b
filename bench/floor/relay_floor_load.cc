// The client end of the floor: a closed loop of requests through the relay.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "bench/batch.h"
#include "bench/closed_loop.h"
#include "bench/floor/frame.h"

namespace valkyrie::bench {
namespace {

class FloorWire {
 public:
  explicit FloorWire(const LoadOptions& options) : depth_(options.depth), payload_(options.size) {}

  // Nothing to say first: the relay takes every connection for a client until it registers.
  std::expected<void, std::string> open(int /*fd*/, std::uint32_t /*connection*/) { return {}; }

  void request(std::uint32_t slot, Batch& out) const {
    append_floor_frame(out,
                       {.type = kFloorRequest,
                        .stream_id = 1,
                        .body_bytes = static_cast<std::uint32_t>(payload_.size()),
                        .correlation_id = slot + 1},
                       payload_.data());
  }

  template <typename OnAnswer>
  std::expected<std::size_t, std::string> answers(std::span<std::byte> in, Batch& /*out*/,
                                                  OnAnswer on_answer) const {
    bool foreign = false;
    const std::ptrdiff_t taken = for_each_floor_frame(in, [&](const FloorHeader& header,
                                                              const std::byte* /*frame*/) {
      const std::uint32_t slot = header.correlation_id - 1;
      if (header.type != kFloorResponse || slot >= depth_ || header.body_bytes != payload_.size()) {
        foreign = true;
        return;
      }
      on_answer(slot);
    });
    if (taken < 0 || foreign) return std::unexpected("the relay sent no answer of ours");
    return static_cast<std::size_t>(taken);
  }

 private:
  std::uint32_t depth_;
  std::vector<std::byte> payload_;
};

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) {
  using namespace valkyrie::bench;
  return load_main<ClosedLoop<FloorWire>>(argc, argv, "relay_floor_load");
}
