// The client end of the gRPC rows: asynchronous unary calls in a closed loop, one channel per
// connection, one completion queue, one thread.

#include <chrono>
#include <cstdint>
#include <expected>
#include <grpcpp/grpcpp.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/load.h"
#include "echo.grpc.pb.h"

namespace valkyrie::bench {
namespace {

constexpr auto kConnectTimeout = std::chrono::seconds(5);

// One of the requests in flight; used again for the next one. Its address is the tag.
struct Slot {
  Echo::Stub* stub = nullptr;
  std::optional<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<EchoMessage>> reader;
  EchoMessage answer;
  grpc::Status status;
  std::uint64_t sent_ns = 0;

  void send(const EchoMessage& request, grpc::CompletionQueue& queue) {
    context.emplace();
    sent_ns = now_ns();
    reader = stub->AsyncCall(&*context, request, &queue);
    reader->Finish(&answer, &status, this);
  }
};

// Opens one channel; nullptr when the server does not answer in time.
std::unique_ptr<Echo::Stub> open_channel(const LoadOptions& options, std::uint32_t index) {
  grpc::ChannelArguments arguments;
  // Channels of equal arguments would share one connection.
  arguments.SetInt("valkyrie.bench.connection", static_cast<int>(index));
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto channel =
      grpc::CreateCustomChannel(options.url, grpc::InsecureChannelCredentials(), arguments);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + kConnectTimeout)) {
    return nullptr;
  }
  return Echo::NewStub(channel);
}

// Runs until the measured time is over and every request in flight is answered.
void run_loop(std::vector<Slot>& slots, const EchoMessage& request, grpc::CompletionQueue& queue,
              Measurement& measurement) {
  for (Slot& slot : slots) slot.send(request, queue);
  std::size_t in_flight = slots.size();
  void* tag = nullptr;
  bool ok = false;
  while (in_flight > 0 && queue.Next(&tag, &ok)) {
    Slot& slot = *static_cast<Slot*>(tag);
    const std::uint64_t now = now_ns();
    if (ok && slot.status.ok()) {
      measurement.answered(slot.sent_ns, now);
    } else {
      measurement.failed();
    }
    if (measurement.over(now)) {
      --in_flight;
    } else {
      slot.send(request, queue);
    }
  }
}

class Calls {
 public:
  explicit Calls(LoadOptions options) : options_(std::move(options)) {}

  [[nodiscard]] std::expected<std::string, std::string> run(std::string_view program) {
    grpc::CompletionQueue queue;
    std::vector<std::unique_ptr<Echo::Stub>> stubs;
    std::vector<Slot> slots(std::size_t{options_.connections} * options_.depth);
    for (std::uint32_t index = 0; index < options_.connections; ++index) {
      stubs.push_back(open_channel(options_, index));
      if (stubs.back() == nullptr) return std::unexpected("no server at " + options_.url);
      for (std::uint32_t at = 0; at < options_.depth; ++at) {
        slots[std::size_t{index} * options_.depth + at].stub = stubs.back().get();
      }
    }
    EchoMessage request;
    request.set_payload(std::string(options_.size, 'x'));
    Measurement measurement(options_, now_ns());
    run_loop(slots, request, queue, measurement);
    return measurement.to_json(program);
  }

 private:
  const LoadOptions options_;
};

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) {
  using namespace valkyrie::bench;
  return load_main<Calls>(argc, argv, "grpc_client");
}
