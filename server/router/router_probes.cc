// Calls of the node's own to instances of this shard, to see whether they answer. A probe costs an
// instance no place of its concurrency, and goes before all else on its connection.
#include <array>
#include <chrono>
#include <fmt/format.h>

#include "protocol/frame.h"
#include "server/router/router_core.h"

namespace valkyrie::router {

using registry::ProbeVerdict;

namespace {

std::string silence_text(protocol::Duration silence) {
  using namespace std::chrono;
  return silence < seconds(1)
             ? fmt::format("no answer in {}ms", ceil<milliseconds>(silence).count())
             : fmt::format("no answer in {}s", ceil<seconds>(silence).count());
}

}  // namespace

// From now on the instance is probed, where its service is.
void RouterCore::begin_probes(registry::Instance& instance) {
  const registry::ProbeSettings& settings = instance.home->settings().probe;
  if (settings.interval == protocol::Duration::zero()) return;
  instance.probe = probed_.make();
  Probed& probed = *probed_.find(instance.probe);
  probed.instance = &instance;
  probed.probe.emplace(settings, instance.name_hash, now_);
  probed.due = probed.probe->due();
  probes_due_.emplace(probed.due, instance.probe);
}

void RouterCore::end_probes(registry::Instance& instance) {
  const std::uint64_t id = std::exchange(instance.probe, 0);
  const Probed* probed = probed_.find(id);
  if (probed == nullptr) return;
  probes_due_.erase({probed->due, id});
  Connection* connection = probed->stream == 0 ? nullptr : touch(instance.info->connection);
  if (connection != nullptr) {
    if (!probed->probe->may_send()) {
      connection->session->cancel(probed->stream, probed->correlation);
    }
    static_cast<void>(connection->session->send_end(probed->stream));
  }
  probed_.erase(id);
}

void RouterCore::run_probes() {
  while (!probes_due_.empty() && probes_due_.begin()->first <= now_) {
    const std::uint64_t id = probes_due_.begin()->second;
    Probed& probed = *probed_.find(id);
    if (probed.probe->may_send()) {
      send_probe(id, probed);
      continue;
    }
    const protocol::Duration silence = probed.probe->silence(now_);
    if (Connection* connection = touch(probed.instance->info->connection);
        connection != nullptr && !probed.probe->is_late()) {
      connection->session->cancel(probed.stream, probed.correlation);
    }
    judge(id, probed, probed.probe->expired(now_), silence_text(silence));
  }
}

void RouterCore::reschedule(std::uint64_t id, Probed& probed) {
  probes_due_.erase({probed.due, id});
  probed.due = probed.probe->due();
  probes_due_.emplace(probed.due, id);
}

void RouterCore::send_probe(std::uint64_t id, Probed& probed) {
  probed.probe->sent(now_);
  const std::uint64_t answers =
      probed.instance->info->gauge.answers.load(std::memory_order_relaxed);
  const bool is_answering = std::exchange(probed.answers, answers) != answers;
  Connection* connection = touch(probed.instance->info->connection);
  VALKYRIE_ASSERT(connection != nullptr);
  protocol::Session& session = *connection->session;
  const std::uint64_t name = tagged(Tag::probe, id);
  constexpr std::uint8_t kQos = protocol::qos_byte(protocol::QosClass::critical);
  if (probed.stream == 0) {
    std::array<std::byte, protocol::kHopMetadataBytes> buffer;
    protocol::MetadataWriter writer(buffer);
    writer.deadline(probed.instance->home->settings().probe.timeout);
    writer.service(probed.instance->info->service);
    writer.method(messages::kHealthMethod);
    writer.octet(protocol::MetadataKey::hops, 1);
    const auto entries = writer.finish();
    VALKYRIE_ASSERT(entries.has_value());
    const auto opened = session.open_stream(
        protocol::StreamKind::call, 0, {.metadata = *entries, .payload = {}, .qos = kQos}, name);
    probed.stream = opened.value_or(0);
  }
  if (probed.stream != 0) {
    const auto sent =
        session.send_request(probed.stream, {.payload = {}, .qos = kQos, .cookie = name});
    if (sent) {
      probed.correlation = sent->correlation;
      return reschedule(id, probed);
    }
    if (sent.error() == protocol::SendError::exhausted ||
        sent.error() == protocol::SendError::closed) {
      static_cast<void>(session.send_end(probed.stream));
      probed.stream = 0;
    }
  }
  // An instance that takes nothing more and answers no call either says nothing.
  judge(id, probed, probed.probe->ended(/*well=*/is_answering, now_),
        "its connection takes nothing more");
}

// The answer came, or the news that there is none.
void RouterCore::on_probe_end(const Event& event) {
  const std::uint64_t id = id_of(event.cookie);
  Probed* probed = probed_.find(id);
  if (probed == nullptr || probed->probe->may_send()) return;
  StatusCode code = event.status;
  std::string text;
  if (event.type == protocol::EventType::response) {
    const auto status = event.metadata.status();
    code = status ? status->code : StatusCode::ok;
    text = fmt::format("{}{}{}", to_string(code), status && !status->text.empty() ? ": " : "",
                       status ? status->text : std::string_view());
  } else {
    if (code == StatusCode::ok) code = protocol::caller_status(event.code);
    text = to_string(event.code);
  }
  judge(id, *probed, probed->probe->ended(registry::is_well(code), now_), text);
}

void RouterCore::on_probe_stream(std::uint64_t id, ConnectionId connection, const Event& event) {
  if (event.type == protocol::EventType::end) {
    static_cast<void>(touch(connection)->session->send_end(event.stream));
  } else if (event.type != protocol::EventType::reset &&
             event.type != protocol::EventType::stream_closed) {
    return;
  }
  Probed* probed = probed_.find(id);
  if (probed != nullptr && probed->stream == event.stream) probed->stream = 0;
}

// Tells shard 0 what has changed, which may end the probes at once.
void RouterCore::judge(std::uint64_t id, Probed& probed, ProbeVerdict verdict,
                       std::string_view why) {
  reschedule(id, probed);
  if (verdict == ProbeVerdict::same) return;
  std::string text;
  if (verdict != ProbeVerdict::healthy) {
    text = fmt::format("{} probe{} in a row failed: {}", probed.probe->failures(),
                       probed.probe->failures() == 1 ? "" : "s", why);
  }
  const std::uint64_t instance = probed.instance->info->id;
  if (config_.shard == 0) {
    if (observer != nullptr) observer->on_probed(instance, verdict, text, now_);
    return;
  }
  ShardMessage message = letter(ShardMessage::Type::probed, 0);
  message.number = instance;
  message.verdict = verdict;
  message.body = body_of({}, std::as_bytes(std::span(text)));
  post(0, std::move(message));
}

void RouterCore::on_probed(const ShardMessage& message) {
  if (observer == nullptr) return;
  const Bytes text = message.body.payload();
  observer->on_probed(message.number, message.verdict,
                      {reinterpret_cast<const char*>(text.data()), text.size()}, now_);
}

}  // namespace valkyrie::router
