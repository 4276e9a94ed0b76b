#include "tests/simulation/channel_end.h"

#include <algorithm>
#include <array>

#include "tests/simulation/violation.h"

namespace valkyrie::simulation {
namespace {

constexpr std::uint64_t kToken = 0x50494E47;

protocol::SessionConfig session_config(protocol::Role role) {
  protocol::SessionConfig config;
  config.agent = role == protocol::Role::dialer ? "dialer" : "acceptor";
  return config;
}

}  // namespace

ChannelEnd::ChannelEnd(protocol::Role role, std::unique_ptr<protocol::Channel> channel,
                       protocol::BufferPool& pool, Instant now)
    : channel_(std::move(channel)), session_(role, session_config(role), pool, now), now_(now) {}

void ChannelEnd::take(std::span<const std::byte> bytes, Instant now) {
  if (over()) return;
  now_ = now;
  std::vector<std::byte> copy(bytes.begin(), bytes.end());
  const auto taken = channel_->receive(copy, *this);
  if (taken) return;
  error_ = taken.error();
  require(*error_ != protocol::ChannelError::none, "a channel failed for no reason");
  session_.receive_eof(now);
  poll();
}

void ChannelEnd::on_plain(std::span<std::byte> text) {
  require(channel_->open(), "plain text before the handshake was over");
  heard_.append(reinterpret_cast<const char*>(text.data()), text.size());
  if (session_.closed()) return;
  session_.receive(text, now_);
  poll();
}

void ChannelEnd::take_end(Instant now) {
  now_ = now;
  if (!session_.closed()) session_.receive_eof(now);
  poll();
}

void ChannelEnd::on_deadline(Instant now) {
  now_ = now;
  if (session_.closed()) return;
  session_.on_deadline(now);
  poll();
}

void ChannelEnd::poll() {
  while (const protocol::Event* event = session_.poll_event()) {
    if (event->type == protocol::EventType::ready) session_.ping(kToken);
    if (event->type == protocol::EventType::pong) answered_ = event->cookie == kToken;
    if (event->type == protocol::EventType::closed) code_ = event->code;
  }
}

void ChannelEnd::speak(Pipe& pipe, const Faults& faults, std::mt19937_64& random, Instant now) {
  if (spoke_last_) return;
  std::vector<std::byte> out = channel_->take_output();
  if (error_) {
    spoke_last_ = true;  // The last word of a channel that failed.
  } else if (channel_->open()) {
    seal_session(out, now);
  } else {
    unproven_bytes_ = std::max(unproven_bytes_, out.size());
  }
  pipe.send(out, faults, random, now);
}

void ChannelEnd::seal_session(std::vector<std::byte>& out, Instant now) {
  std::array<std::span<const std::byte>, 16> found;
  while (const std::size_t count = session_.gather(found, 1U << 16U)) {
    const auto pieces = std::span(found).first(count);
    std::size_t size = 0;
    for (const auto piece : pieces) {
      said_.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      size += piece.size();
    }
    require(channel_->seal(pieces, out).has_value(), "an open channel seals");
    session_.written(size, now);
  }
}

}  // namespace valkyrie::simulation
