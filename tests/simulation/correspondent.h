// A program of a world that publishes and subscribes: several streams of each, which come and go;
// it reads late, like the others.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "tests/simulation/program.h"
#include "tests/simulation/subject_book.h"

namespace valkyrie::simulation {

// See the top of the file.
class Correspondent final : public WorldProgram {
 public:
  Correspondent(Surroundings around, std::uint32_t number, std::uint32_t shard,
                const protocol::SessionConfig& config, SubjectBook& book)
      : WorldProgram(around, number, shard, config), book_(book) {}

  // Publishes on one of its streams, or on a new one; whether the session took it.
  bool publish(std::string_view subject, std::uint32_t bytes, bool acked);
  // Subscribes.
  void subscribe(std::string_view filter, std::string_view group, std::uint8_t options);
  // ENDs one of its subscriptions or publish streams, or else resets it.
  void leave_any(bool in_order);

  // Its subscriptions that are not over, by stream.
  [[nodiscard]] const std::map<std::uint32_t, SubscriptionRecord>& subscriptions() const {
    return subscriptions_;
  }

 private:
  void on_program_event(const protocol::Event& event) override;
  std::uint32_t outlet();
  std::uint32_t open(protocol::StreamKind kind, std::uint8_t options, std::string_view subject,
                     std::string_view group);
  void over(std::uint32_t stream);

  SubjectBook& book_;
  std::map<std::uint32_t, std::uint8_t> outlets_;  // Streams, and the class of what goes there.
  std::map<std::uint32_t, SubscriptionRecord> subscriptions_;
};

}  // namespace valkyrie::simulation
