// The client end of the NATS rows: the same closed loop as the floor's, each connection with one
// wildcard inbox, as NATS's own clients do request and reply.

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <fmt/format.h>
#include <span>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include "bench/batch.h"
#include "bench/closed_loop.h"
#include "bench/peers/nats_wire.h"

namespace valkyrie::bench {
namespace {

class NatsWire {
 public:
  explicit NatsWire(const LoadOptions& options) : depth_(options.depth), payload_(options.size) {}

  std::expected<void, std::string> open(int fd, std::uint32_t connection) {
    inbox_ = fmt::format("_INBOX.{}x{}.", ::getpid(), connection);
    for (std::uint32_t slot = 0; slot < depth_; ++slot) {
      replies_.push_back(fmt::format("{}{}", inbox_, slot));
    }
    return open_nats(fd, inbox_ + "*");
  }

  void request(std::uint32_t slot, Batch& out) const {
    append_nats_publish(out, "bench.echo", replies_[slot], payload_);
  }

  template <typename OnAnswer>
  std::expected<std::size_t, std::string> answers(std::span<std::byte> in, Batch& out,
                                                  OnAnswer on_answer) const {
    bool foreign = false;
    auto taken = for_each_nats_message(in, out, [&](const NatsMessage& message) {
      std::uint32_t slot = depth_;
      if (message.subject.starts_with(inbox_)) {
        const std::string_view number = message.subject.substr(inbox_.size());
        std::from_chars(number.data(), number.data() + number.size(), slot);
      }
      if (slot >= depth_ || message.payload.size() != payload_.size()) {
        foreign = true;
        return;
      }
      on_answer(slot);
    });
    if (foreign) return std::unexpected("an answer that fits no request");
    return taken;
  }

 private:
  std::uint32_t depth_;
  std::vector<std::byte> payload_;
  std::string inbox_;
  std::vector<std::string> replies_;  // By slot.
};

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) {
  using namespace valkyrie::bench;
  return load_main<ClosedLoop<NatsWire>>(argc, argv, "nats_requester");
}
