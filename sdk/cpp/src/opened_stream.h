// A stream of messages that this client opened. Private to this folder.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "sdk/cpp/src/slot.h"
#include "sdk/cpp/src/stream_side.h"
#include "transport/timer_wheel.h"
#include "valkyrie/client.h"

namespace valkyrie::detail {

// Cancels a stream, from whichever thread requests the stop.
struct StreamStop {
  Core* core;
  std::uint64_t id;

  void operator()() const noexcept;
};

// Lives until the user's handle is gone and the session has spoken of it for the last time. What
// the handle has on its way to the loop comes before its own end.
class OpenedStream final : public StreamSide {
 public:
  OpenedStream(CoreHandle core, std::uint64_t id, Target target, const CallOptions& options);

  // Any thread.
  void finish();
  void cancel();
  [[nodiscard]] Metadata metadata() const;
  // The user's handle is gone.
  void let_go();

  // All below on the loop.
  void begin();
  // Instead of begin(), when the loop has ended.
  void end_unbegun();
  [[nodiscard]] std::uint64_t id() const { return id_; }

 private:
  void retain() override {}
  void release() override {}
  [[nodiscard]] bool open() override;
  void on_end(Link& link, const protocol::Event& event) override;
  void on_over(Link& link, const protocol::Event& event) override;
  void on_deadline();

  void accept_let_go();
  void reset(protocol::CloseCode code, Status status);
  void conclude(Status status);
  void dispose_if_done();

  const CoreHandle token_;
  const std::uint64_t id_;
  const std::string target_;
  protocol::Duration time_limit_;  // Zero: none.
  protocol::Instant deadline_{};
  std::unique_ptr<CallExtras> extras_;
  std::vector<std::stop_token> stops_;
  std::vector<std::unique_ptr<std::stop_callback<StreamStop>>> stop_callbacks_;
  transport::Timer timer_ = transport::Timer::calling<&OpenedStream::on_deadline>(this);
  mutable std::mutex mutex_;
  Metadata end_metadata_;  // Guarded by mutex_.
  bool remote_ended_ = false;
  bool bound_ = false;     // The session knows it.
  bool released_ = false;  // The user's handle is gone.
};

}  // namespace valkyrie::detail
