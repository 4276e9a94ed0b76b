// Ends of streams that are services of the node, and the handles they answer through.
#include "server/router/router_core.h"

namespace valkyrie::router {

using protocol::Status;

// Where a local service is: here, if it has an object on this shard.
std::uint32_t RouterCore::shard_of(std::uint32_t local) const {
  return locals_[local].service != nullptr ? config_.shard : 0;
}

Caller RouterCore::caller_of(const OpenInfo& open) const {
  return {.shard = open.shard,
          .connection = open.connection,
          .address = open.address,
          .identity = open.identity,
          .gate = open.gate};
}

StreamEnd& RouterCore::make_service_end(std::uint32_t index, std::uint32_t shard,
                                        std::uint64_t caller) {
  const std::uint64_t made = ends_.make();
  StreamEnd& end = *ends_.find(made);
  end.kind = StreamEnd::Kind::service;
  end.id = made;
  end.other = caller;
  end.other_shard = shard;
  end.local = std::make_unique<ServiceEnd>();
  end.local->service = locals_[index].service;
  return end;
}

void RouterCore::start_service(StreamEnd& end, const OpenInfo& open) {
  const auto metadata = protocol::parse_metadata(open.metadata, protocol::FrameType::stream_open,
                                                 protocol::MetadataReader::relay);
  const Caller caller = caller_of(open);
  end.local->service->on_stream(LocalStream(*this, end.id),
                                {.method = open.method,
                                 .metadata = metadata ? *metadata : protocol::MetadataView(),
                                 .qos = open.qos,
                                 .caller = caller},
                                now_);
}

// Puts a message together and gives it to the service. Parts are returned to the sender's credit
// as they come, as the message may be longer than that; the last one is not.
void RouterCore::take_service_data(StreamEnd& to, Bytes payload, std::uint8_t qos, bool more,
                                   std::uint32_t cost) {
  const LocalStream stream(*this, to.id);
  ServiceEnd& local = *to.local;
  LocalService& service = *local.service;
  if (!more && local.assembly.empty()) {
    return service.on_message(stream, {.payload = payload, .qos = qos, .cost = cost}, now_);
  }
  if (local.assembly.size() + payload.size() > kLocalMessageBytesMax) {
    reset(to.id, CloseCode::too_large, "the message is longer than the service takes");
    return service.on_closed(stream, CloseCode::too_large, now_);
  }
  local.assembly.insert(local.assembly.end(), payload.begin(), payload.end());
  if (more) return pass_credit(to, cost);
  const std::vector<std::byte> whole = std::exchange(local.assembly, {});
  service.on_message(stream, {.payload = whole, .qos = qos, .cost = cost}, now_);
}

void RouterCore::take_service_credit(StreamEnd& to, std::uint32_t bytes) {
  ServiceEnd& local = *to.local;
  local.unsent -= bytes;
  if (!local.stopped || local.unsent > kLocalWindowBytes / 2) return;
  local.stopped = false;
  local.service->on_writable(LocalStream(*this, to.id), now_);
}

void RouterCore::close_service(StreamEnd& end, CloseCode code) {
  const LocalStream stream(*this, end.id);
  LocalService& service = *end.local->service;
  ends_.erase(end.id);
  service.on_closed(stream, code, now_);
}

void RouterCore::answer(std::uint64_t id, const Status& status, Bytes payload) {
  Call* call = calls_.find(id);
  if (call == nullptr || call->upstream == nullptr || call->upstream->service == nullptr) return;
  if (status.code != StatusCode::ok) return answer_upstream(*call, status);
  ++stats.answers[0];
  answered(*call, {.metadata = {}, .payload = payload}, call->qos, {});
}

StreamEnd* RouterCore::service_end(std::uint64_t id) {
  StreamEnd* end = ends_.find(id);
  return end != nullptr && end->local != nullptr ? end : nullptr;
}

bool RouterCore::send(std::uint64_t id, Bytes message, std::uint8_t qos) {
  StreamEnd* end = service_end(id);
  if (end == nullptr || end->local->ended) return false;
  ServiceEnd& local = *end->local;
  const auto cost = static_cast<std::uint32_t>(protocol::kHeaderBytes + message.size());
  local.unsent += cost;
  pass_data(*end, {.metadata = {}, .payload = message}, qos, /*more=*/false, cost, nullptr);
  if (local.unsent >= kLocalWindowBytes) local.stopped = true;
  return !local.stopped;
}

bool RouterCore::writable(std::uint64_t id) const {
  const StreamEnd* end = ends_.find(id);
  return end != nullptr && end->local != nullptr && !end->local->ended && !end->local->stopped;
}

void RouterCore::consume(std::uint64_t id, std::uint32_t bytes) {
  if (StreamEnd* end = service_end(id)) pass_credit(*end, bytes);
}

void RouterCore::end(std::uint64_t id, const Status& status) {
  StreamEnd* end = service_end(id);
  if (end == nullptr || std::exchange(end->local->ended, true)) return;
  pass_end(*end, StatusMetadata(status).bytes());
}

void RouterCore::reset(std::uint64_t id, CloseCode code, std::string_view text) {
  StreamEnd* end = service_end(id);
  if (end == nullptr) return;
  pass_reset(*end, code, text);
  ends_.erase(id);
}

}  // namespace valkyrie::router
