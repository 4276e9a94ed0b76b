#include "server/jobs/job_services.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "protocol/crypto/digest.h"

namespace valkyrie::jobs {
namespace {

using protocol::CloseCode;
using protocol::Instant;
using protocol::Outcome;
using protocol::StatusCode;
using protocol::StreamKind;

constexpr router::LocalMethod kJobsMethods[] = {
    {.name = "Cancel", .asks_policy = true},
    {.name = "Get"},
    {.name = "List"},
    {.name = "Run", .kind = StreamKind::stream, .asks_policy = true},
    {.name = "Submit", .asks_policy = true},
    {.name = "Watch", .kind = StreamKind::stream, .asks_policy = true}};
constexpr router::LocalMethod kRunnersMethods[] = {
    {.name = "List"}, {.name = "Work", .kind = StreamKind::stream, .asks_policy = true}};

// What policies call a job that has no name.
constexpr std::string_view kUnnamed = "unnamed";

// Why the policy does not let a peer do this to a job, or as a runner, of that name.
std::optional<Refused> denial_of(policy::Gate* gate, policy::Action action, std::string_view name,
                                 Instant now) {
  auto denial =
      policy::denial_of(gate, action, {.name = name.empty() ? kUnnamed : name}, {.now = now});
  if (!denial) return std::nullopt;
  return Refused{.code = StatusCode::permission_denied, .text = *std::move(denial)};
}

Refused bad_body(messages::DecodeError error) {
  return {.code = StatusCode::invalid_argument,
          .text = "the body is not readable: " + std::string(messages::to_string(error))};
}

void fail(router::LocalCall call, const Refused& why) {
  call.fail(why.code, why.text, Outcome::not_executed);
}

// Answers with what `act` makes of the request: a reply, or Refused.
template <class Request, class Act>
void answer(router::LocalCall call, const router::LocalRequest& request, Act act) {
  const auto body = messages::decode<Request>(request.payload);
  if (!body) return fail(call, bad_body(body.error()));
  const auto reply = act(*body);
  if (!reply) return fail(call, reply.error());
  call.respond(messages::encode(*reply));
}

// Keys belong to their submitter: another's are not in their way, and cannot be guessed at.
std::optional<SubmitKey> submit_key(std::string_view submitter, std::string_view key,
                                    std::span<const std::byte> body) {
  if (key.empty()) return std::nullopt;
  const auto cut = [](const protocol::crypto::Digest& digest, std::array<std::uint8_t, 16>& to) {
    std::ranges::transform(std::span(digest).first<16>(), to.begin(),
                           [](std::byte byte) { return std::to_integer<std::uint8_t>(byte); });
  };
  const protocol::crypto::Digest who =
      protocol::crypto::sha256(std::as_bytes(std::span(submitter)));
  SubmitKey made;
  cut(protocol::crypto::sha256(who, std::as_bytes(std::span(key))), made.key);
  cut(protocol::crypto::sha256(body), made.body);
  return made;
}

}  // namespace

constinit const router::LocalServiceInfo JobServices::kJobsInfo{.name = messages::kJobsService,
                                                                .methods = kJobsMethods};
constinit const router::LocalServiceInfo JobServices::kRunnersInfo{
    .name = messages::kRunnersService, .methods = kRunnersMethods};

JobServices::JobServices(JobPlaneOptions options, JobStore& store, LogStore& logs)
    : store_(store), plane_(std::move(options), store, logs) {}

void JobServices::on_log_news() {
  plane_.on_log_news();
  pump();
}

void JobServices::on_durable() {
  while (!promised_.empty() && promised_.begin()->first <= store_.durable()) {
    Promised& promised = promised_.begin()->second;
    promised.call.respond(std::move(promised.body));
    promised_.erase(promised_.begin());
  }
  plane_.on_durable();
  pump();
}

void JobServices::respond_once_durable(router::LocalCall call, std::string body, Change after) {
  if (after <= store_.durable()) return call.respond(std::move(body));
  promised_.emplace(after, Promised{call, std::move(body)});
}

void JobServices::end(Peer& peer, const Refused& why) {
  peer.over = true;
  peer.stream.end({why.code, Outcome::not_executed, why.text});
}

// Writes what the plane has for its streams, as far as they have credit.
void JobServices::pump() {
  while (const auto ready = plane_.poll_ready()) {
    if (const auto* follower = std::get_if<FollowerReady>(&*ready)) {
      write_events(follower->stream);
    } else if (const auto* lost = std::get_if<FollowerDismissed>(&*ready)) {
      dismiss(followers_, lost->stream, lost->why);
    } else if (const auto* runner = std::get_if<RunnerReadyToTake>(&*ready)) {
      write_messages(runner->runner);
    } else {
      const auto& gone = std::get<RunnerDismissed>(*ready);
      dismiss(runner_peers_, gone.runner, gone.why);
    }
  }
}

void JobServices::write_events(FollowerId stream) {
  const auto found = followers_.find(stream);
  if (found == followers_.end()) return;
  Peer& peer = found->second;
  while (!peer.over && !peer.blocked) {
    const messages::JobEvent* const event = plane_.next_event(stream);
    if (event == nullptr) return;
    const bool last = std::holds_alternative<messages::Ended>(*event);
    const bool withheld = !peer.may_read && std::holds_alternative<messages::Output>(*event);
    if (!withheld) peer.blocked = !peer.stream.send(messages::encode(*event), peer.qos);
    plane_.take_event(stream);
    if (!last) continue;
    peer.over = true;
    peer.stream.end();
  }
}

void JobServices::write_messages(RunnerId runner) {
  const auto found = runner_peers_.find(runner);
  if (found == runner_peers_.end()) return;
  Peer& peer = found->second;
  while (!peer.over && !peer.blocked) {
    const messages::NodeMessage* const message = plane_.next_message(runner);
    if (message == nullptr) return;
    peer.blocked = !peer.stream.send(messages::encode(*message), peer.qos);
    plane_.take_message(runner);
  }
}

void JobServices::dismiss(Peers& peers, std::uint64_t stream, const Refused& why) {
  const auto found = peers.find(stream);
  if (found != peers.end() && !found->second.over) end(found->second, why);
}

void JobServices::Jobs::on_request(router::LocalCall call, const router::LocalRequest& request,
                                   Instant now) {
  using Lists = std::expected<messages::ListJobsReply, Refused>;
  if (request.method == "List") {
    answer<messages::ListJobsRequest>(
        call, request, [&](const auto& body) -> Lists { return of_.plane_.list(body, now); });
  } else if (request.method == "Get") {
    answer<messages::GetJobRequest>(call, request,
                                    [&](const auto& body) { return of_.plane_.get(body, now); });
  } else if (request.method == "Submit") {
    submit_all(call, request, now);
    of_.pump();
  } else {
    cancel(call, request, now);
    of_.pump();
  }
}

void JobServices::Jobs::submit_all(router::LocalCall call, const router::LocalRequest& request,
                                   Instant now) {
  auto body = messages::decode<messages::SubmitRequest>(request.payload);
  if (!body) return fail(call, bad_body(body.error()));
  for (const messages::JobSpec& spec : body->specs) {
    const auto denial =
        denial_of(request.caller.gate.get(), policy::Action::submit, spec.name, now);
    if (denial) return fail(call, *denial);
  }
  const std::string submitter(request.caller.identity);
  const messages::Ack ack = of_.store_.keeps() ? body->ack : messages::Ack::received;
  const auto key = submit_key(submitter, body->key, request.payload);
  auto promise = of_.plane_.submit_all(*std::move(body), submitter, key, now);
  if (!promise) return fail(call, promise.error());
  promise->answer.ack = ack;
  of_.respond_once_durable(call, messages::encode(promise->answer),
                           ack == messages::Ack::persisted ? promise->after : 0);
}

void JobServices::Jobs::cancel(router::LocalCall call, const router::LocalRequest& request,
                               Instant now) {
  const auto body = messages::decode<messages::CancelJobRequest>(request.payload);
  if (!body) return fail(call, bad_body(body.error()));
  const auto job = of_.plane_.get({.job = body->job}, now);
  if (!job) return fail(call, job.error());
  if (const auto denial =
          denial_of(request.caller.gate.get(), policy::Action::cancel, job->name, now)) {
    return fail(call, *denial);
  }
  const auto promise = of_.plane_.cancel(*body, now);
  if (!promise) return fail(call, promise.error());
  of_.respond_once_durable(call, messages::encode(promise->answer), promise->after);
}

void JobServices::Jobs::on_stream(router::LocalStream stream, const router::LocalOpen& open,
                                  Instant /*now*/) {
  of_.followers_[stream.id()] = {.stream = stream,
                                 .gate = open.caller.gate,
                                 .qos = open.qos,
                                 .watches = open.method == "Watch"};
}

void JobServices::Jobs::on_message(router::LocalStream stream, const router::LocalMessage& message,
                                   Instant now) {
  stream.consume(message.cost);
  Peer& peer = of_.followers_.at(stream.id());
  if (peer.over) return;
  peer.watches ? on_watch(peer, message.payload, now) : on_run(peer, message.payload, now);
  of_.pump();
}

void JobServices::Jobs::on_run(Peer& peer, std::span<const std::byte> payload, Instant now) {
  auto body = messages::decode<messages::RunInput>(payload);
  if (!body) {
    of_.plane_.follower_left(peer.stream.id(), now);
    end(peer, bad_body(body.error()));
  } else if (auto* request = std::get_if<messages::RunRequest>(&*body)) {
    submit(peer, std::move(*request), now);
  } else if (peer.asked) {
    of_.plane_.cancel_run(peer.stream.id(), std::get<messages::CancelRequest>(*body), now);
  } else {
    end(peer, {.code = StatusCode::invalid_argument, .text = "nothing was submitted to cancel"});
  }
}

void JobServices::Jobs::on_watch(Peer& peer, std::span<const std::byte> payload, Instant now) {
  const auto body = messages::decode<messages::WatchJobRequest>(payload);
  if (!body) return end(peer, bad_body(body.error()));
  const auto view = of_.plane_.get({body->job}, now);
  if (!view) return end(peer, view.error());
  if (const auto denial = denial_of(peer.gate.get(), policy::Action::read_logs, view->name, now)) {
    return end(peer, *denial);
  }
  if (const auto done = of_.plane_.watch(peer.stream.id(), *body); !done) end(peer, done.error());
}

void JobServices::Jobs::submit(Peer& peer, messages::RunRequest request, Instant now) {
  if (std::exchange(peer.asked, true)) {
    of_.plane_.follower_left(peer.stream.id(), now);
    return end(peer, {.code = StatusCode::invalid_argument, .text = "a second RunRequest"});
  }
  const std::string& name = request.spec.name;
  if (const auto denial = denial_of(peer.gate.get(), policy::Action::submit, name, now)) {
    return end(peer, *denial);
  }
  peer.may_read = !denial_of(peer.gate.get(), policy::Action::read_logs, name, now);
  const auto job = of_.plane_.submit(peer.stream.id(), std::move(request.spec), now);
  if (!job) end(peer, job.error());
}

void JobServices::Jobs::on_writable(router::LocalStream stream, Instant /*now*/) {
  of_.followers_.at(stream.id()).blocked = false;
  of_.write_events(stream.id());
  of_.pump();  // What was taken may have opened a runner's window.
}

void JobServices::Jobs::on_end(router::LocalStream stream, Instant now) {
  of_.plane_.follower_left(stream.id(), now);
  Peer& peer = of_.followers_.at(stream.id());
  if (!std::exchange(peer.over, true)) peer.stream.end();
  of_.pump();
}

void JobServices::Jobs::on_closed(router::LocalStream stream, CloseCode /*code*/, Instant now) {
  of_.plane_.follower_left(stream.id(), now);
  of_.followers_.erase(stream.id());
  of_.pump();
}

void JobServices::Jobs::on_drain(protocol::Duration /*grace*/, Instant now) {
  of_.plane_.drain(now);
  of_.pump();
}

std::optional<Instant> JobServices::Jobs::deadline() const { return of_.plane_.deadline(); }

void JobServices::Jobs::on_deadline(Instant now) {
  of_.plane_.on_deadline(now);
  of_.pump();
}

void JobServices::Runners::on_request(router::LocalCall call, const router::LocalRequest& request,
                                      Instant now) {
  using Lists = std::expected<messages::ListRunnersReply, Refused>;
  answer<messages::ListRunnersRequest>(
      call, request, [&](const auto&) -> Lists { return of_.plane_.list_runners(now); });
}

void JobServices::Runners::on_stream(router::LocalStream stream, const router::LocalOpen& open,
                                     Instant /*now*/) {
  of_.runner_peers_[stream.id()] = {.stream = stream, .gate = open.caller.gate, .qos = open.qos};
}

void JobServices::Runners::on_message(router::LocalStream stream,
                                      const router::LocalMessage& message, Instant now) {
  stream.consume(message.cost);
  Peer& peer = of_.runner_peers_.at(stream.id());
  if (peer.over) return;
  auto body = messages::decode<messages::RunnerMessage>(message.payload);
  const auto* hello = body ? std::get_if<messages::RunnerHello>(&*body) : nullptr;
  const auto denial = hello == nullptr
                          ? std::nullopt
                          : denial_of(peer.gate.get(), policy::Action::run, hello->name, now);
  if (!body || denial) {
    of_.plane_.runner_left(stream.id(), now);
    end(peer, denial ? *denial : bad_body(body.error()));
  } else if (const auto taken = of_.plane_.runner_message(stream.id(), *std::move(body), now);
             !taken) {
    end(peer, taken.error());
  }
  of_.pump();
}

void JobServices::Runners::on_writable(router::LocalStream stream, Instant /*now*/) {
  of_.runner_peers_.at(stream.id()).blocked = false;
  of_.write_messages(stream.id());
  of_.pump();
}

void JobServices::Runners::on_end(router::LocalStream stream, Instant now) {
  of_.plane_.runner_left(stream.id(), now);
  Peer& peer = of_.runner_peers_.at(stream.id());
  if (!std::exchange(peer.over, true)) peer.stream.end();
  of_.pump();
}

void JobServices::Runners::on_closed(router::LocalStream stream, CloseCode /*code*/, Instant now) {
  of_.plane_.runner_left(stream.id(), now);
  of_.runner_peers_.erase(stream.id());
  of_.pump();
}

}  // namespace valkyrie::jobs
