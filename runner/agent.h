// What a runner is beside its network session: the attempts it executes and what it has to say to
// the node about them.
//
// Driven from outside, like Attempt: one thread, poll(2), moments as arguments. It dies with
// nothing left behind: destroying it, or losing the node, kills its attempts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <poll.h>
#include <vector>

#include "protocol/messages/jobs.h"
#include "protocol/time.h"
#include "runner/attempt.h"

namespace valkyrie::runner {

// Executes attempts for one node at a time.
class Agent {
 public:
  // `hello` says who this runner is and how many slots it has.
  Agent(ExecutorOptions executor, messages::RunnerHello hello);

  // A Work stream is open: what poll_message() gives begins with the hello.
  void connected();
  // The Work stream is over. The node has ended all attempts as lost, so they are killed; returns
  // when they are gone.
  void disconnected();
  // A message of the node. False: the node broke the rules; end the stream.
  [[nodiscard]] bool receive(messages::NodeMessage message, protocol::Instant now);
  // Next message for the node; nullopt: none now. Take as many as the stream has credit for: what
  // is not taken holds back the attempts' output.
  std::optional<messages::RunnerMessage> poll_message();

  // Appends what to poll(2).
  void append_watches(std::vector<pollfd>& fds) const;
  // Handles one of them that is ready.
  void on_ready(int fd, protocol::Instant now);
  // When to call on_deadline; nullopt: never.
  [[nodiscard]] std::optional<protocol::Instant> deadline() const;
  // Does what is due.
  void on_deadline(protocol::Instant now);

  // Takes no further job; attempts that still run after `timeout` are cancelled. Idempotent.
  void drain(protocol::Instant now, protocol::Duration timeout);
  // No attempt runs and the node has every result.
  [[nodiscard]] bool idle() const { return attempts_.empty() && unsettled_ == 0; }
  // Attempts that run.
  [[nodiscard]] std::size_t running() const { return attempts_.size(); }
  // Attempts whose result the node has, since the start.
  [[nodiscard]] std::uint64_t settled() const { return settled_; }
  // The node said that it goes down.
  [[nodiscard]] bool node_drains() const { return node_drains_; }
  // The node's name; empty until it has welcomed this runner.
  [[nodiscard]] const std::string& node() const { return node_; }

 private:
  struct Running {
    std::unique_ptr<Attempt> attempt;
    std::string job;
  };

  bool start(const messages::Start& start, protocol::Instant now);
  void refuse(const messages::Start& start, std::string text);

  ExecutorOptions executor_;
  messages::RunnerHello hello_;
  std::map<std::uint64_t, Running> attempts_;  // By token.
  std::deque<messages::RunnerMessage> outbox_;
  std::uint64_t next_token_ = 0;  // Whose turn it is to speak.
  std::size_t unsettled_ = 0;
  std::uint64_t settled_ = 0;
  bool draining_ = false;
  bool connected_ = false;
  bool node_drains_ = false;
  std::string node_;
  std::optional<protocol::Instant> cancel_at_;
};

}  // namespace valkyrie::runner
