// A program of a world that watches the registry, often reading late.
#pragma once

#include <cstdint>

#include "tests/simulation/program.h"
#include "tests/simulation/watch_view.h"

namespace valkyrie::simulation {

// See the top of the file.
class Observer final : public WorldProgram {
 public:
  using WorldProgram::WorldProgram;

  // What it knows; nullptr if it does not watch any more.
  [[nodiscard]] const WatchView* view() const { return stream_ == 0 ? nullptr : &view_; }

 private:
  void on_program_event(const protocol::Event& event) override;

  std::uint32_t stream_ = 0;  // 0: not begun, or over.
  WatchView view_;
};

}  // namespace valkyrie::simulation
