// What one side of a session accepts, keeps and waits for. Values, bounds and what happens beyond
// them: docs/spec/session.md, "Limits".
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "protocol/constants.h"
#include "protocol/metadata.h"
#include "protocol/time.h"

namespace valkyrie::protocol {

// Defaults are the specification's. Sizes in bytes.
struct SessionLimits {
  // Told to the peer in the hello.
  std::uint32_t frame_body_bytes_max = kFrameBodyBytesDefault;
  std::uint32_t call_message_bytes_max = kCallMessageBytesDefault;
  std::uint32_t stream_message_bytes_max = kStreamMessageBytesDefault;
  std::uint32_t peer_streams_max = kPeerStreamsDefault;
  std::uint32_t requests_in_flight_max = kRequestsInFlightDefault;
  std::uint32_t stream_credit_bytes = kStreamCreditBytesDefault;
  std::uint32_t connection_credit_bytes = kConnectionCreditBytesDefault;
  // Kept by this side. Windows grow to these, never below where they start.
  std::uint32_t stream_window_bytes_max = kStreamWindowBytesDefault;
  std::uint32_t connection_window_bytes_max = kConnectionWindowBytesDefault;
  std::uint64_t held_bytes_max = kHeldBytesDefault;
  std::uint64_t queued_bytes_max = kQueuedBytesDefault;
  std::uint32_t control_output_bytes_max = kControlOutputBytesDefault;
  std::uint32_t control_frames_burst = kControlFramesBurst;
  std::uint32_t control_frames_per_second = kControlFramesPerSecond;
  std::uint32_t peer_resets_burst = kPeerResetsBurst;  // An acceptor's.
  std::uint32_t peer_resets_per_second = kPeerResetsPerSecond;
  Duration handshake_timeout = kHandshakeTimeoutDefault;
  Duration keepalive_interval = kKeepaliveIntervalDefault;  // The acceptor's counts for both.
  Duration stall_timeout = kStallTimeoutDefault;
};

// Shares of the classes while they compete, by class; only the ratios count.
using ClassWeights = std::array<std::uint32_t, 5>;

class OutputMeter;

// How to open a session.
struct SessionConfig {
  SessionLimits limits{};
  ClassWeights shares = kClassWeights;   // Of what this side sends; all but critical's above 0.
  std::string agent = "valkyrie";        // Name and version for the peer's logs.
  std::string node_id;                   // Acceptor: told to the dialer; may be empty.
  std::string token;                     // Dialer: credential for the node; may be empty.
  QosClass qos_ceiling = QosClass::job;  // Acceptor: the highest class the dialer may ask for.
  bool grease = true;                    // Sends frames and options that a peer must ignore.
  // Who reads metadata: a relay forwards end-to-end keys that it does not know.
  MetadataReader reader = MetadataReader::end;
  OutputMeter* meter = nullptr;  // Counts what is sent; outlives the session. May be null.
};

// A SessionConfig that never changes, and that any number of sessions share. Copies are cheap.
class SharedSessionConfig {
 public:
  // All defaults.
  SharedSessionConfig() : SharedSessionConfig(SessionConfig{}) {}
  // Implicit: a session may be given one of its own.
  SharedSessionConfig(SessionConfig config)
      : config_(std::make_shared<const SessionConfig>(std::move(config))) {}

  [[nodiscard]] const SessionConfig& operator*() const { return *config_; }

 private:
  std::shared_ptr<const SessionConfig> config_;
};

// What the peer said in its hello: its limits bound what may be sent to it.
struct PeerInfo {
  std::uint32_t frame_body_bytes_max = 0;
  std::uint32_t call_message_bytes_max = 0;
  std::uint32_t stream_message_bytes_max = 0;
  std::uint32_t requests_in_flight_max = 0;
  QosClass qos_ceiling = QosClass::job;
  Duration keepalive_interval{};
  std::string agent;
  std::string node_id;
  std::string token;
};

}  // namespace valkyrie::protocol
