// Any bytes decode to a value or an error; a value encodes to bytes that decode to the same value.
// The first byte chooses the message type.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "protocol/messages/jobs.h"
#include "protocol/messages/registry.h"

namespace {

using namespace valkyrie::messages;

template <class T>
void round_trip(std::span<const std::byte> bytes) {
  const auto value = decode<T>(bytes);
  if (!value) return;
  const std::string encoded = encode(*value);
  const auto again = decode<T>(std::as_bytes(std::span(encoded)));
  if (!again || *again != *value) std::abort();
}

using RoundTrip = void (*)(std::span<const std::byte>);
constexpr RoundTrip kRoundTrips[] = {
    round_trip<RunInput>,          round_trip<JobEvent>,
    round_trip<JobView>,           round_trip<ListJobsRequest>,
    round_trip<ListJobsReply>,     round_trip<GetJobRequest>,
    round_trip<CancelJobRequest>,  round_trip<CancelJobReply>,
    round_trip<ListRunnersReply>,  round_trip<RunnerMessage>,
    round_trip<NodeMessage>,       round_trip<RegisterMessage>,
    round_trip<RegisterEvent>,     round_trip<ListServicesRequest>,
    round_trip<ListServicesReply>, round_trip<NodeInfoReply>,
    round_trip<WhoAmIReply>,       round_trip<WatchRequest>,
    round_trip<WatchEvent>,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  kRoundTrips[data[0] % std::size(kRoundTrips)](bytes.subspan(1));
  return 0;
}
