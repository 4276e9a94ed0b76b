// A stream of messages that this client serves. Private to this folder.
#pragma once

#include <cstdint>

#include "sdk/cpp/src/incoming.h"
#include "sdk/cpp/src/stream_side.h"

namespace valkyrie::detail {

// Part of its Incoming, of which the session has a share until it has spoken of the stream for the
// last time.
class ServedStream final : public StreamSide {
 public:
  ServedStream(Incoming& incoming, Link& link, std::uint32_t stream);

  // All below on the loop.
  // Runs the handler, at once or when its request has come.
  void begin();
  // The end of the call, after what the handler has written: of one that gives one message, `body`.
  // Once.
  void finish(BytesView body, const Status& status);

 private:
  void retain() override { incoming_.retain(); }
  void release() override { incoming_.release(); }
  [[nodiscard]] bool open() override { return false; }
  [[nodiscard]] std::span<const std::byte> end_metadata(MetadataBuffer& buffer) override;
  [[nodiscard]] bool expects_message() const override;
  void on_message(Bytes message, std::uint32_t cost) override;
  void on_end(Link& link, const protocol::Event& event) override;
  void on_over(Link& link, const protocol::Event& event) override;

  Incoming& incoming_;
  bool awaits_request_ = false;
  bool finished_ = false;           // The call has its end.
  std::uint32_t request_cost_ = 0;  // Credit to return at the end.
  Status end_status_;
};

}  // namespace valkyrie::detail
