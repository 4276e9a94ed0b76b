// Runs a transcript of tests/conformance/transcripts/ on a Session. Format: README.md.
#pragma once

#include <cstddef>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include <boost/json.hpp>

#include "protocol/buffer_pool.h"
#include "protocol/session.h"

namespace valkyrie::conformance {

// One session under test, what it has sent and what its application was told. Each step reports
// what went wrong through GoogleTest.
class Transcript {
 public:
  // Builds the session of `role` with the deviations from the default limits in `config`. What the
  // peer writes at once arrives in reads of `read_bytes`.
  Transcript(const boost::json::object& file, std::size_t read_bytes);

  // Runs all steps; stops at the first that fails.
  void run();

 private:
  void run_step(const boost::json::object& step);
  void receive(const boost::json::value& hex);
  void pass(protocol::Duration time);
  void act(const boost::json::object& action);
  // Moves events and frames out of the session into the two queues.
  void collect();
  void collect_frames();
  void expect_sent(const boost::json::object& want);
  void expect_seen(const boost::json::object& want);
  void expect_quiet();
  void expect_ended(const std::string& code);
  // Bytes of payload, or of credit, that all frames sent on a stream took together.
  [[nodiscard]] std::uint64_t sent_on(std::uint64_t stream, bool credit) const;

  const boost::json::object file_;
  const std::size_t read_bytes_;
  protocol::Instant now_{std::chrono::seconds(1)};
  protocol::BufferPool pool_;
  protocol::Session session_;
  std::vector<std::byte> unread_;  // Output of the session that is no whole frame yet.
  std::deque<boost::json::object> sent_;
  std::deque<boost::json::object> seen_;
  std::vector<boost::json::object> all_sent_;
};

}  // namespace valkyrie::conformance
