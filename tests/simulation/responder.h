// A service program of a world: registers instances, answers at once, late, in any order, with
// errors, with large payloads, or not before it is told to. The node's probes likewise.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/streamer.h"

namespace valkyrie::simulation {

// How a service behaves: of 100 requests so many are answered like this, the rest at once.
struct Manner {
  std::uint32_t late = 0;
  std::uint32_t never = 0;  // Before answer_all().
  std::uint32_t error = 0;
  std::uint32_t shed = 0;
  std::uint32_t large = 0;  // With up to so many bytes:
  std::uint32_t large_bytes = 0;
  Duration late_max = 500ms;
  bool heeds_cancel = true;  // Answers at once what was given up.
};

// An instance as its program knows it.
struct Registration {
  std::string service;
  std::string instance;
  bool confirmed = false;
  bool ready = true;  // Healthy and not drained.
  bool over = false;
};

// See the top of the file.
class Responder final : public Streamer {
 public:
  using Streamer::Streamer;

  // Registers an instance.
  void serve(std::string service, std::string instance, std::uint32_t concurrency = 0);
  // Changes or ends one of its registrations.
  void change_any();
  // Ends one in order: END of its stream.
  void withdraw_any();
  // Answers all that it was asked, in any order, and answers at once from now on.
  void answer_all();

  // With nothing under way: what it works on, somebody waits for, or it knows that nobody does.
  void check_told() const;

  [[nodiscard]] std::optional<Instant> deadline() const override;
  void on_deadline() override;

  // What it registered, by stream.
  [[nodiscard]] const std::map<std::uint32_t, Registration>& registrations() const {
    return registrations_;
  }

  Manner manner;

 private:
  struct Pending {
    std::uint32_t stream = 0;
    std::uint32_t correlation = 0;
    CallId call = 0;
    Reply reply;
  };

  void on_program_event(const protocol::Event& event) override;
  void on_request(const protocol::Event& event);
  void on_probe(const protocol::Event& event);
  void answer_probes();
  void on_registry_event(Registration& registration, const protocol::Event& event);
  void hurry(const protocol::Event& event);
  void answer(const Pending& pending);
  Reply draw_reply();
  Registration* any_registration(std::uint32_t& stream);

  std::map<std::uint32_t, Registration> registrations_;
  std::map<std::uint32_t, std::string> targets_;  // Of the node's streams.
  std::multimap<Instant, Pending> pending_;       // Never: Instant::max().
  std::set<std::uint32_t> probe_streams_;
  // Probes by stream and correlation: to answer, and not before it is told to.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> probes_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> probes_held_;
};

}  // namespace valkyrie::simulation
