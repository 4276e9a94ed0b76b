#include "runner/agent.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "runner/shim.h"

namespace valkyrie::runner {

using protocol::Duration;
using protocol::Instant;

Agent::Agent(ExecutorOptions executor, messages::RunnerHello hello)
    : executor_(std::move(executor)), hello_(std::move(hello)) {}

void Agent::connected() {
  connected_ = true;
  node_drains_ = false;
  messages::RunnerHello hello = hello_;
  if (draining_) hello.slots = 0;
  outbox_.assign(1, std::move(hello));
}

void Agent::disconnected() {
  connected_ = false;
  node_.clear();
  outbox_.clear();
  attempts_.clear();
  unsettled_ = 0;
}

bool Agent::receive(messages::NodeMessage message, Instant now) {
  if (auto* welcome = std::get_if<messages::Welcome>(&message)) {
    node_ = std::move(welcome->node);
  } else if (const auto* order = std::get_if<messages::Start>(&message)) {
    return start(*order, now);
  } else if (const auto* window = std::get_if<messages::Window>(&message)) {
    const auto found = attempts_.find(window->token);
    if (found != attempts_.end()) found->second.attempt->open_window(window->output_limit);
  } else if (const auto* go = std::get_if<messages::Go>(&message)) {
    const auto found = attempts_.find(go->token);
    if (found != attempts_.end()) found->second.attempt->go();
  } else if (const auto* cancel = std::get_if<messages::CancelAttempt>(&message)) {
    const auto found = attempts_.find(cancel->token);
    if (found != attempts_.end()) found->second.attempt->cancel(*cancel);
  } else if (std::holds_alternative<messages::Settled>(message)) {
    if (unsettled_ == 0) return false;
    --unsettled_;
    ++settled_;
  } else {
    node_drains_ = true;
  }
  return true;
}

bool Agent::start(const messages::Start& start, Instant now) {
  const bool known = std::ranges::any_of(
      attempts_, [&](const auto& entry) { return entry.second.job == start.job; });
  // Two tokens of a job, or more attempts than slots: the node's view is not ours.
  if (known || attempts_.contains(start.token) || attempts_.size() >= hello_.slots) return false;
  // One that crossed with the word that there are no slots is run; not after the drain's end.
  if (draining_ && !cancel_at_) {
    refuse(start, "the runner drains");
    return true;
  }
  auto attempt = Attempt::launch(executor_, start, now);
  if (!attempt) {
    refuse(start, std::move(attempt.error()));
    return true;
  }
  attempts_[start.token] = {std::move(*attempt), start.job};
  return true;
}

void Agent::refuse(const messages::Start& start, std::string text) {
  ++unsettled_;
  outbox_.emplace_back(
      messages::AttemptEnded{start.token,
                             {.state = messages::JobState::failed,
                              .reason = messages::EndReason::prepare,
                              .text = std::move(text),
                              .evidence = {.method = "never_started", .complete = true}}});
}

std::optional<messages::RunnerMessage> Agent::poll_message() {
  if (!connected_) return std::nullopt;
  if (!outbox_.empty()) {
    messages::RunnerMessage message = std::move(outbox_.front());
    outbox_.pop_front();
    return message;
  }
  // In turn, so that one attempt's flood does not silence another.
  auto at = attempts_.lower_bound(next_token_);
  for (std::size_t i = 0; i < attempts_.size(); ++i) {
    if (at == attempts_.end()) at = attempts_.begin();
    if (auto message = at->second.attempt->poll_message()) {
      next_token_ = at->first + 1;
      if (at->second.attempt->over()) {
        ++unsettled_;
        attempts_.erase(at);
      }
      return message;
    }
    ++at;
  }
  return std::nullopt;
}

void Agent::append_watches(std::vector<pollfd>& fds) const {
  for (const auto& [token, running] : attempts_) {
    for (const Attempt::Watch& watch : running.attempt->watches()) {
      if (watch.read) fds.push_back({.fd = watch.fd, .events = POLLIN, .revents = 0});
    }
  }
}

void Agent::on_ready(int fd, Instant now) {
  for (auto& [token, running] : attempts_) running.attempt->on_ready(fd, now);
}

std::optional<Instant> Agent::deadline() const {
  std::optional<Instant> first = cancel_at_;
  for (const auto& [token, running] : attempts_) {
    const auto due = running.attempt->deadline();
    if (due && (!first || *due < *first)) first = due;
  }
  return first;
}

void Agent::on_deadline(Instant now) {
  const bool cancel = cancel_at_ && *cancel_at_ <= now;
  if (cancel) cancel_at_.reset();
  for (auto& [token, running] : attempts_) {
    running.attempt->on_deadline(now);
    if (cancel) running.attempt->cancel({token, kShimGraceMs, "the runner drains"});
  }
}

void Agent::drain(Instant now, Duration timeout) {
  if (draining_) return;
  draining_ = true;
  cancel_at_ = now + timeout;
  if (connected_) outbox_.emplace_back(messages::RunnerReady{0});
}

}  // namespace valkyrie::runner
