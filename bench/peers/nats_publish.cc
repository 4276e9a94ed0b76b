// Both ends of the NATS publish rows.

#include <cstddef>
#include <expected>
#include <span>
#include <string>
#include <string_view>

#include "bench/batch.h"
#include "bench/fan_out.h"
#include "bench/peers/nats_wire.h"

namespace valkyrie::bench {
namespace {

class NatsPublishWire {
 public:
  static std::expected<void, std::string> subscribe(int fd) { return open_nats(fd, "bench.news"); }

  // Its own subject: it takes nothing.
  static std::expected<void, std::string> open_publisher(int fd) {
    return open_nats(fd, "bench.nothing");
  }

  static void publish(std::span<const std::byte> payload, Batch& out) {
    append_nats_publish(out, "bench.news", "", payload);
  }

  template <typename OnPayload>
  static std::expected<std::size_t, std::string> deliveries(std::span<const std::byte> in,
                                                            Batch& out, OnPayload on_payload) {
    return for_each_nats_message(in, out,
                                 [&](const NatsMessage& message) { on_payload(message.payload); });
  }

  static std::size_t skip_replies(std::span<const std::byte> in, Batch& out) {
    return for_each_nats_message(in, out, [](const NatsMessage&) {}).value_or(in.size());
  }
};

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) {
  using namespace valkyrie::bench;
  return load_main<FanOut<NatsPublishWire>>(argc, argv, "nats_publish");
}
