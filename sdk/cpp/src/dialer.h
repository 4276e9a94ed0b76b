// Finds a node: tries addresses until one of them says hello. Private to this folder.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/cpp/src/link.h"
#include "sdk/cpp/src/noise_key.h"
#include "sdk/cpp/src/tls_dialer.h"
#include "transport/address.h"
#include "transport/connector.h"
#include "transport/timer_wheel.h"
#include "valkyrie/options.h"
#include "valkyrie/status.h"

namespace valkyrie::detail {

// An address to try, with its text for messages.
struct Candidate {
  transport::Address address;
  std::string url;
};

// What `address` stands for, in the order of options.h. Reads the environment and looks for
// sockets. The error is invalid_argument.
[[nodiscard]] Result<std::vector<Candidate>> candidates(const Address& address);

// The key for the addresses that are reached through Noise: of ClientOptions::noise_key_file, else
// of the file that VALKYRIE_NOISE_KEY names, else a new one; with the psk that is said in the same
// ways. nullptr if there is no such address. The error is invalid_argument.
[[nodiscard]] Result<std::unique_ptr<NoiseKey>> noise_key_for(
    const std::vector<Candidate>& candidates, const ClientOptions& options);

// The same for TLS: by ClientOptions::tls_*, else by the files that VALKYRIE_TLS_* name.
[[nodiscard]] Result<std::unique_ptr<protocol::tls::Dialer>> tls_dialer_for(
    const std::vector<Candidate>& candidates, const ClientOptions& options);

class Dialer {
 public:
  Dialer(Core& core, std::vector<Candidate> candidates);
  ~Dialer();

  // Begins a round: each address in turn, beside the ones before it if those take long. Ends in
  // Core::on_link_ready() or Core::on_dial_failed(). REQUIRES: no round is under way.
  void dial();
  // A connection that had not said hello has ended. False: it is none of this round.
  bool on_greeting_failed(Link& link, std::string_view why);
  // The connection is taken out of the round, which is over. nullptr: it is none of this round.
  [[nodiscard]] std::unique_ptr<Link> take(Link& link);
  // Gives up the round, if there is one.
  void stop();
  [[nodiscard]] bool dialing() const { return !attempts_.empty(); }
  // The addresses, for a message. Any thread.
  [[nodiscard]] const std::string& described() const { return described_; }
  // Forgets what has ended. Called at the end of a turn, outside of all callbacks.
  void clean();

 private:
  class Attempt;

  void start_next();
  void on_attempt_failed();
  void shuffle();

  Core& core_;
  std::vector<Candidate> candidates_;
  std::string described_;
  std::vector<std::unique_ptr<Attempt>> attempts_;
  std::vector<std::unique_ptr<Attempt>> finished_;
  transport::Timer next_timer_ = transport::Timer::calling<&Dialer::start_next>(this);
};

}  // namespace valkyrie::detail
