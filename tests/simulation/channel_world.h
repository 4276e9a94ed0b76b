// A handshake on a network that does to bytes what no transport may: loses, doubles, alters and
// delays them, cuts and stalls the connection, and puts plain text in between.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "protocol/buffer_pool.h"
#include "protocol/noise/primitives.h"
#include "protocol/tls/acceptor.h"
#include "protocol/tls/dialer.h"
#include "tests/simulation/channel_end.h"
#include "tests/simulation/virtual_pipe.h"

namespace valkyrie::simulation {

// What TLS worlds have in common, since certificates are dear; outlives them.
struct TlsSides {
  const protocol::tls::Acceptor& acceptor;
  protocol::tls::Dialer& dialer;
};

// What came of worlds.
struct ChannelCounts {
  std::uint64_t established = 0;
  std::uint64_t again = 0;     // Of them, dialed twice for another suite.
  std::uint64_t failed = 0;    // A channel found something out.
  std::uint64_t timeouts = 0;  // Nothing came any more.
  std::uint64_t cut = 0;
  std::uint64_t damaged = 0;   // Pieces.
  std::uint64_t injected = 0;  // Plain text.
};

// One connection and those who dial it. The seed decides what the network does, and all of Noise
// but the KEM's ciphertexts; TLS takes its secrets from the system.
class ChannelWorld {
 public:
  // What is between the sessions and the network.
  enum class Kind : std::uint8_t {
    noise,
    tls,
    nothing,  // Bytes pass as they are: who sees no harm in it is blind.
  };

  // `tls` is for worlds of TLS.
  ChannelWorld(std::uint64_t seed, Kind kind, const TlsSides* tls = nullptr);
  ~ChannelWorld();
  ChannelWorld(const ChannelWorld&) = delete;
  ChannelWorld& operator=(const ChannelWorld&) = delete;

  // Lives it through to its end. Throws a Violation.
  ChannelCounts run();

 private:
  class Entropy;
  struct Noise;

  void choose_faults();
  void dial(std::unique_ptr<protocol::Channel> dialer, std::unique_ptr<protocol::Channel> acceptor);
  void live();
  bool turn();
  bool let_time_pass();
  void interfere();
  void inject();
  bool carry(Pipe& way, ChannelEnd& to);
  void break_now();
  void pass_end(const ChannelEnd& from, Pipe& way, ChannelEnd& to);
  void check_text() const;
  void check_views() const;
  void check_noise_views() const;
  void check_end();
  void count(ChannelCounts& counts) const;
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

  std::mt19937_64 random_;
  const Kind kind_;
  const TlsSides* tls_;
  std::unique_ptr<Noise> noise_;
  protocol::BufferPool pool_;
  Instant now_{std::chrono::seconds{1}};
  Faults faults_;
  Damage damage_;
  bool hostile_ = false;  // The network does anything at all of that.
  bool injects_ = false;
  std::optional<std::uint64_t> breaks_;  // Behind this byte of both ways: a cut,
  bool stalls_ = false;                  // or nothing more passes.
  std::uint64_t passed_ = 0;             // Bytes.
  std::uint64_t turns_ = 0;
  std::uint64_t injected_ = 0;
  std::uint64_t again_ = 0;
  bool is_cut_ = false;
  bool is_stalled_ = false;
  Pipe to_acceptor_;
  Pipe to_dialer_;
  std::optional<ChannelEnd> dialer_;
  std::optional<ChannelEnd> acceptor_;
};

}  // namespace valkyrie::simulation
