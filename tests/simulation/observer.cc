#include "tests/simulation/observer.h"

#include <span>

namespace valkyrie::simulation {

using protocol::EventType;

void Observer::on_program_event(const protocol::Event& event) {
  switch (event.type) {
    case EventType::ready:
      stream_ = open_stream(messages::kRegistryService, "Watch");
      if (stream_ != 0)
        static_cast<void>(send_message(stream_, messages::encode(messages::WatchRequest{})));
      return;
    case EventType::data:
      consume(event);
      if (const auto message = whole_message(event)) view_.take(std::as_bytes(std::span(*message)));
      return;
    case EventType::end:
      static_cast<void>(session().send_end(event.stream));
      stream_ = 0;
      return;
    case EventType::reset:
    case EventType::stream_closed:
    case EventType::closed:
      stream_ = 0;
      return;
    default:
      return;
  }
}

}  // namespace valkyrie::simulation
