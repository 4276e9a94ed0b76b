#include "tests/simulation/correspondent.h"

#include <array>
#include <iterator>

#include "protocol/frame.h"
#include "protocol/metadata.h"
#include "tests/simulation/pattern.h"

namespace valkyrie::simulation {

using protocol::EventType;
using protocol::MetadataKey;
using protocol::StreamKind;

namespace {

// More would only wait.
constexpr std::size_t kOutletsMax = 3;

}  // namespace

std::uint32_t Correspondent::open(StreamKind kind, std::uint8_t options, std::string_view subject,
                                  std::string_view group) {
  std::array<std::byte, 512> buffer;
  protocol::MetadataWriter writer(buffer);
  if (!subject.empty()) writer.put(MetadataKey::subject, subject);
  if (!group.empty()) writer.put(MetadataKey::group, group);
  const std::uint32_t stream =
      session().open_stream(kind, options, {.metadata = *writer.finish()}, 0).value_or(0);
  if (stream != 0) note_stream(stream);
  return stream;
}

// Messages of one stream keep their order as far as they have one class, so each has its own.
std::uint32_t Correspondent::outlet() {
  if (outlets_.size() < kOutletsMax && (outlets_.empty() || pick(8) == 0)) {
    const std::uint32_t stream = open(StreamKind::publish, 0, {}, {});
    if (stream != 0) {
      outlets_[stream] = static_cast<std::uint8_t>((2 + pick(3)) << 5U | pick(32));
    }
  }
  if (outlets_.empty()) return 0;
  return std::next(outlets_.begin(), static_cast<std::ptrdiff_t>(pick(outlets_.size())))->first;
}

bool Correspondent::publish(std::string_view subject, std::uint32_t bytes, bool acked) {
  const std::uint32_t stream = outlet();
  if (stream == 0) return false;
  const PublishRecord& message = book_.publish({number(), stream}, subject, bytes, acked, now());
  std::array<std::byte, 512> buffer;
  protocol::MetadataWriter writer(buffer);
  writer.put(MetadataKey::subject, subject);
  writer.ignorable(kCallKey, id_bytes(message.id));
  const std::vector<std::byte> payload = pattern(message.id, bytes);
  const auto sent = session().send_publish(stream,
                                           {.metadata = *writer.finish(),
                                            .payload = payload,
                                            .qos = outlets_[stream],
                                            .cookie = message.id},
                                           acked);
  if (!sent) {
    book_.not_taken();
    return false;
  }
  around_.trace.line(now(), "{}: publishes {} to {} on stream {} ({} bytes{})", number(),
                     message.id, subject, stream, bytes, acked ? ", to be acknowledged" : "");
  return true;
}

void Correspondent::subscribe(std::string_view filter, std::string_view group,
                              std::uint8_t options) {
  const std::uint32_t stream = open(StreamKind::subscribe, options, filter, group);
  if (stream == 0) return;
  SubscriptionRecord& record = subscriptions_[stream];
  record.program = number();
  record.filter = filter;
  record.group = group;
  record.no_echo = (options & protocol::kStreamOptionNoEcho) != 0;
  around_.trace.line(now(), "{}: subscribes {} {} as {}", number(), filter, group, stream);
}

void Correspondent::leave_any(bool in_order) {
  std::vector<std::uint32_t> all;
  for (const auto& [stream, qos] : outlets_) all.push_back(stream);
  for (const auto& [stream, record] : subscriptions_) all.push_back(stream);
  if (all.empty()) return;
  const std::uint32_t stream = all[pick(all.size())];
  around_.trace.line(now(), "{}: {} stream {}", number(), in_order ? "ends" : "resets", stream);
  outlets_.erase(stream);
  if (in_order) {
    forget_stream(stream);
    static_cast<void>(session().send_end(stream));
  } else {
    session().reset(stream, protocol::CloseCode::cancelled);
  }
}

void Correspondent::over(std::uint32_t stream) {
  outlets_.erase(stream);
  subscriptions_.erase(stream);
}

void Correspondent::on_program_event(const protocol::Event& event) {
  switch (event.type) {
    case EventType::event:
      book_.got(subscriptions_[event.stream], event, now());
      return consume(event);
    case EventType::published:
    case EventType::request_failed:
      return book_.answered(event.cookie, event);
    case EventType::end:
      // The node says that it takes or sends no more.
      static_cast<void>(session().send_end(event.stream));
      outlets_.erase(event.stream);
      return;
    case EventType::reset:
    case EventType::stream_closed:
      return over(event.stream);
    case EventType::closed:
      outlets_.clear();
      return subscriptions_.clear();
    default:
      return;
  }
}

}  // namespace valkyrie::simulation
