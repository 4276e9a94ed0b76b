// One connection of a client, from its socket on. Private to this folder.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/session.h"
#include "transport/connection.h"
#include "transport/timer_wheel.h"

namespace valkyrie::detail {

class Core;

class Link final : private transport::ConnectionHandler {
 public:
  enum class State : std::uint8_t { greeting, ready, draining, gone };

  Link(Core& core, std::uint64_t number, std::string url, transport::Socket socket,
       std::unique_ptr<protocol::Channel> channel, std::string credential);

  // False: the reactor cannot watch the socket; nothing is reported then.
  [[nodiscard]] bool start();
  [[nodiscard]] State state() const { return state_; }
  // The address as it was dialled.
  [[nodiscard]] const std::string& url() const { return url_; }
  // To send on; what is sent leaves at the end of the turn.
  [[nodiscard]] protocol::Session& session() { return connection_.session(); }
  [[nodiscard]] const protocol::Session& session() const { return connection_.session(); }
  // Of all links of the client, from 1.
  [[nodiscard]] std::uint64_t number() const { return number_; }
  // The channel to dial again with, once, where the node asked for another suite; else nullptr.
  [[nodiscard]] std::unique_ptr<protocol::Channel> retry_channel() const {
    return connection_.channel() == nullptr ? nullptr : connection_.channel()->retry();
  }
  // How long it has been ready, for the backoff.
  [[nodiscard]] protocol::Instant ready_at() const { return ready_at_; }

 private:
  void on_event(transport::Connection& connection, const protocol::Event& event) override;
  void on_closed(transport::Connection& connection, const transport::CloseReason& reason) override;

  void renew_within(std::uint32_t seconds_left);
  void renew();
  void renew_later();

  Core& core_;
  const std::uint64_t number_;
  const std::string url_;
  std::string credential_;  // As it was shown last.
  protocol::Instant credential_ends_{};
  transport::Timer renewal_ = transport::Timer::calling<&Link::renew>(this);
  State state_ = State::greeting;
  protocol::Instant ready_at_{};
  transport::Connection connection_;
};

}  // namespace valkyrie::detail
