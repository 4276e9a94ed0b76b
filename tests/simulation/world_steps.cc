// What happens in a world, step by step.
#include <algorithm>
#include <utility>

#include "tests/simulation/violation.h"
#include "tests/simulation/world.h"

namespace valkyrie::simulation {
void World::step() {
  switch (pick(17)) {
    case 0:
      act_on(*responders_[pick(responders_.size())]);
      break;
    case 1:
      act_on(*callers_[pick(callers_.size())]);
      break;
    case 2:
      act_on_link(any_program());
      break;
    case 3:
      call_steady();
      break;
    case 4:
    case 5:
      act_on_jobs();
      break;
    case 6:
    case 7:
    case 8:
      act_on_streams();
      break;
    case 9:
    case 10:
    case 11:
      act_on_subjects();
      break;
    case 12:
      set_wall_clock();
      break;
    default:
      for (std::uint64_t i = pick(6); i > 0; --i) call(*callers_[pick(callers_.size())]);
      break;
  }
  let_time_pass();
}

// Often none, so that things happen while others are under way.
void World::let_time_pass() {
  switch (pick(8)) {
    case 0:
    case 1:
      for (std::uint64_t i = pick(4); i > 0; --i) network_.turn();
      return;
    case 2:
    case 3:
      return network_.run_for(Duration(1us) * pick(3000));
    case 4:
      return network_.run_for(Duration(1ms) * pick(1500));
    default:
      return network_.run_for(Duration(1ms) * pick(100));
  }
}

void World::act_on(Responder& responder) {
  if (responder.closed()) return;
  switch (pick(4)) {
    case 0:
      if (perils_.flaps || calm()) {
        responder.serve(service_name(pick(kServices)), instance_name(),
                        perils_.flaps && chance(2) ? 1 + static_cast<std::uint32_t>(pick(4)) : 0);
      }
      return;
    case 1:
      if (perils_.flaps) responder.change_any();
      return;
    case 2:
      if (perils_.flaps) responder.withdraw_any();
      return;
    default:
      if (!perils_.manners) return;
      if (chance(2)) responder.answer_all();
      responder.manner = draw_manner();
      return;
  }
}

void World::act_on(Caller& caller) {
  if (!perils_.giving_up || caller.closed()) return;
  switch (pick(4)) {
    case 0:
      return caller.leave_stream(/*in_order=*/true);
    case 1:
      return caller.leave_stream(/*in_order=*/false);
    default:
      return caller.cancel_any();
  }
}

void World::act_on_link(WorldProgram& program) {
  if (perils_.deaths && chance(2)) return end_program(program);
  if (!perils_.stalls || program.closed()) return;
  if (chance(2)) {
    const bool keeps = chance(2);
    trace_.line(network_.now, "{}: {} credit", program.number(), keeps ? "keeps" : "gives");
    return program.give_credit(!keeps);
  }
  Wire& wire = program.wire();
  if (wire.lost) return;
  // The program does not read, or its network holds everything up for a while.
  wire.to_program.stalled = !wire.to_program.stalled;
  wire.to_node.stalled = wire.to_program.stalled && chance(3);
  trace_.line(network_.now, "{}: {}", program.number(),
              wire.to_program.stalled ? "stalls" : "goes on");
}

void World::end_program(WorldProgram& program) {
  if (!program.closed()) {
    switch (pick(4)) {
      case 0:
        program.drain(Duration(1ms) * pick(3000));
        break;
      case 1:
        trace_.line(network_.now, "{}: vanishes without a word", program.number());
        program.wire().lose();
        break;
      default:
        trace_.line(network_.now, "{}: dies", program.number());
        network_.cut(program.wire());
        break;
    }
  }
  if (!drained_) replace(program);
}

WorldProgram& World::any_program() {
  std::vector<WorldProgram*> all(callers_.begin(), callers_.end());
  all.insert(all.end(), responders_.begin(), responders_.end());
  all.insert(all.end(), submitters_.begin(), submitters_.end());
  all.insert(all.end(), workers_.begin(), workers_.end());
  all.insert(all.end(), observers_.begin(), observers_.end());
  all.insert(all.end(), correspondents_.begin(), correspondents_.end());
  return *all[pick(all.size())];
}

void World::replace(WorldProgram& program) {
  if (std::erase(callers_, &program) > 0) {
    start_caller();
  } else if (std::erase(observers_, &program) > 0) {
    start_observer();
  } else if (std::erase(submitters_, &program) > 0) {
    start_submitter();
  } else if (std::erase(correspondents_, &program) > 0) {
    start_correspondent();
  } else if (std::erase(responders_, &program) > 0) {
    Responder& started = start_responder();
    network_.run_for(Duration(1ms) * pick(300));
    started.serve(service_name(pick(kServices)), instance_name());
  } else if (std::erase(workers_, &program) > 0) {
    const std::string name = worker_names_[static_cast<const Worker*>(&program)];
    start_worker(chance(2) ? name : "r" + std::to_string(programs_.size()));
  }
}

// The clock goes on by minutes at once, as when a machine is held up: for everybody the others have
// been silent for too long. All begin again.
void World::leap() {
  if (drained_) return;
  network_.run_for(kSteadyPatience);
  ledger_.check_progress(network_.now, Duration::zero());
  ++leaps_;
  network_.now += std::chrono::minutes(1 + pick(10));
  trace_.line(network_.now, "the clock has leapt");
  network_.run_for(1s);
  for (std::size_t i = programs_.size(); i > 0; --i) {
    if (programs_[i - 1]->closed()) replace(*programs_[i - 1]);
  }
  if (steady_caller_->closed() || steady_responder_->closed()) {
    network_.cut(steady_caller_->wire());
    network_.cut(steady_responder_->wire());
    start_steady();
  }
}

// Somebody sets the other clock, which only says what time it is, mostly back.
void World::set_wall_clock() {
  constexpr std::int64_t kHour = 3'600'000;
  wall_clock_ms_ += static_cast<std::int64_t>(pick(kHour)) - kHour * 3 / 4;
}

void World::drain_node() {
  drained_ = true;
  book_.drain();
  trace_.line(network_.now, "the node drains");
  const Duration grace = Duration(1ms) * pick(5000);
  for (std::uint32_t i = 0; i < network_.shard_count(); ++i) {
    network_.router_of(i).drain(grace, network_.now);
  }
}

std::uint32_t World::draw_bytes() {
  std::uint64_t bytes = 0;
  switch (pick(8)) {
    case 0:
      break;
    case 1:
      bytes = pick(20'000);
      break;
    case 2:
      bytes = pick(250'000);
      break;
    default:
      bytes = pick(200);
      break;
  }
  bytes = std::min(bytes, bytes_left_ / 4);
  bytes_left_ -= bytes;
  return static_cast<std::uint32_t>(bytes);
}

void World::call(Caller& caller) {
  if (caller.closed()) return;
  Ask ask;
  ask.target = service_name(pick(kServices));
  if (chance(20)) ask.target = chance(2) ? "valkyrie.Node" : "valkyrie.Registry";
  ask.bytes = ask.target == "valkyrie.Registry" ? 0 : draw_bytes();
  ask.qos = static_cast<std::uint8_t>((2 + pick(3)) << 5U | pick(32));
  if (perils_.giving_up && chance(3)) ask.deadline = Duration(1ms) * (1 + pick(2000));
  if (perils_.flaps || perils_.deaths) {
    if (chance(4)) ask.options = protocol::kStreamOptionPin;
    if (chance(4)) {
      ask.options = protocol::kStreamOptionWait;
      ask.deadline = Duration(1ms) * (1 + pick(2000));
    }
  }
  ask.must_succeed = calm() && is_served(ask.target) && has_ample_room();
  ask.notify = ask.options == 0 && chance(15);
  if (ask.notify) ask.deadline.reset();
  ask.idempotent = chance(3);
  if (ask.idempotent && !ask.notify && chance(2)) {
    ask.hedge_after = Duration(1ms) * (1 + pick(300));
  }
  caller.call(ask);
}

// In a calm world none supersedes another.
std::string World::instance_name() {
  return std::to_string(calm() ? ++instances_named_ : pick(kInstances));
}

bool World::is_served(std::string_view service) const {
  return std::any_of(responders_.begin(), responders_.end(), [&](const Responder* responder) {
    const auto& all = responder->registrations();
    return std::any_of(all.begin(), all.end(), [&](const auto& entry) {
      return entry.second.service == service && entry.second.confirmed;
    });
  });
}

// Opens streams, says something on some, leaves others.
void World::act_on_streams() {
  Caller& caller = *callers_[pick(callers_.size())];
  if (caller.closed()) return;
  if (perils_.giving_up && chance(8)) return caller.abandon_any();
  for (std::uint64_t i = pick(3); i > 0; --i) {
    StreamAsk ask{.target = service_name(pick(kServices))};
    ask.qos = static_cast<std::uint8_t>((2 + pick(3)) << 5U | pick(32));
    if (perils_.giving_up && chance(3)) ask.deadline = Duration(1ms) * (1 + pick(2000));
    if ((perils_.flaps || perils_.deaths) && chance(4)) {
      ask.options = protocol::kStreamOptionWait;
      ask.deadline = Duration(1ms) * (1 + pick(2000));
    }
    ask.must_succeed = calm() && is_served(ask.target) && has_ample_room();
    caller.open(ask);
  }
  for (std::uint64_t i = pick(12); i > 0; --i) caller.talk(draw_bytes());
}

// Streams that stay open hold the places of a service that has few.
bool World::has_ample_room() const {
  return settings_.queue_max == kQueueAmple && settings_.in_flight_max == 0 &&
         settings_.probe.interval == Duration::zero();
}

void World::call_steady() {
  if (drained_) return;
  require(!steady_caller_->closed() && !steady_responder_->closed(),
          "a connection ended although nothing stood in its way");
  for (std::uint64_t i = 1 + pick(3); i > 0; --i) {
    steady_caller_->call({.target = kSteadyService,
                          .bytes = static_cast<std::uint32_t>(pick(2000)),
                          .must_succeed = !perils_.drain});
  }
}

}  // namespace valkyrie::simulation
