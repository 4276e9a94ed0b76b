// Options of clients and calls.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "valkyrie/metadata.h"

namespace valkyrie {

namespace transport {
class SkippedTime;
}  // namespace transport

class IncomingCall;
class Loop;

// Length of time; nanoseconds, as deadlines have on the wire.
using Duration = std::chrono::nanoseconds;

// What a call gets that names no deadline, neither itself nor by its Method.
inline constexpr Duration kDeadlineDefault = std::chrono::seconds{30};
// For streams only: no end but their own.
inline constexpr Duration kNoDeadline = Duration::max();

// The class of a call, first to last. A class above the ceiling of the caller's identity ends the
// call with permission_denied, unsent.
enum class Qos : std::uint8_t {
  critical = 0,
  system,
  job,
  data,  // What a call gets that inherits from nothing.
  telemetry,
  inherit = 0xff,  // The parent's, else the Method's, else data.
};

// The parent's, else the Method's, else 16.
inline constexpr std::uint8_t kUrgencyInherit = 0xff;

// Asking again while the first answer is still awaited, against the slowest few of many answers.
struct Hedging {
  // So long without an answer, and the call is made once more; zero: never. About what 95 of 100
  // calls take is a good choice: then one call in twenty is made twice.
  Duration delay{};
  // How often at most, the first included: 2 or 3.
  std::uint8_t attempts = 2;
};

// How to make a call. Everything is borrowed until the call returns. Trivially destructible, so
// that a braced temporary is safe beside co_await.
struct CallOptions {
  // Time until the caller stops caring, counted by this client. 0: the parent's, else the
  // Method's, else 30 s (streams: none). With a parent never longer than the parent has left.
  Duration deadline{};
  // Class and, inside it, order: 0 first, 31 last.
  Qos qos = Qos::inherit;
  std::uint8_t urgency = kUrgencyInherit;
  // The method may run twice without harm: the client retries also what may have executed.
  bool idempotent = false;
  // Of idempotent calls alone, else the call ends as invalid_argument: the first answer counts, and
  // whoever has not answered by then is told to give up. A second attempt costs the budget of
  // retries, and is not made without. Ignored by streams.
  Hedging hedging{};
  // 1 to 64 bytes that let the service recognise a repeated call; empty: none. With one the client
  // retries as if the call were idempotent.
  std::string_view idempotency_key{};
  // Sent along with the request; nullptr: none.
  const Metadata* metadata = nullptr;
  // Cancels the call when stop is requested; nullptr: never.
  const std::stop_token* cancel = nullptr;
  // The call being handled: its deadline, class, trace and cancellation are inherited.
  const IncomingCall* parent = nullptr;
};
static_assert(std::is_trivially_destructible_v<CallOptions>);

// Where nodes are: one URL, or several of one cluster with commas between. Implicit from text.
//
// valkyrie://host[:22091] (loopback only), tls://host[:22091] (encrypted; an authority vouches for
// the node), noise://host[:22091]?key=DIGITS (encrypted; the key is the node's public one, as it
// prints it), unix:///path; a bare host[:port] is valkyrie:// on loopback, else tls://. Empty:
// VALKYRIE_NODE, else the sockets $XDG_RUNTIME_DIR/valkyrie/node.sock and
// /run/valkyrie/node.sock where they exist, then valkyrie://127.0.0.1:22091.
class Address {
 public:
  // The default order.
  Address() = default;
  // Copies `text`. A URL that makes no sense is an error of connect(), not of this.
  Address(std::string_view text) : text_(text) {}
  // As above.
  Address(const char* text) : text_(text) {}
  // As above.
  Address(std::string text) : text_(std::move(text)) {}

  // What was given.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

// How a client behaves.
struct ClientOptions {
  // Where it runs; borrowed by connect(). nullptr: on a thread of its own.
  Loop* loop = nullptr;
  // Client::connect() gives up after this.
  Duration connect_timeout = std::chrono::seconds{5};
  // Client::connect() does not wait for a node: operations wait for it instead.
  bool lazy = false;
  // Name and version for the node's logs and lists.
  std::string agent = "valkyrie-cpp";
  // File with a token or API key that says who this is, readable by its user alone. It is read
  // before each connection and again before the credential ends, so whoever renews it writes it
  // anew. Empty: the file that VALKYRIE_TOKEN_FILE names, else what VALKYRIE_TOKEN says, else none.
  std::string token_file{};
  // Gives that credential instead of a file; empty text: none. Called on the loop, so it must not
  // wait.
  std::function<std::string()> credential;
  // File with this client's secret key for noise:// addresses, 64 hexadecimal digits, readable by
  // its user alone: by its public half nodes know the client. Empty: the file that
  // VALKYRIE_NOISE_KEY names, else a new key for this client.
  std::string noise_key_file{};
  // File with the secret that such a node asks for beside the key, written like it and as closed to
  // others. Empty: the file that VALKYRIE_NOISE_PSK names, else none.
  std::string noise_psk_file{};
  // For tls:// addresses, files in PEM form. Empty: the files that VALKYRIE_TLS_CA,
  // VALKYRIE_TLS_CRL, VALKYRIE_TLS_CERTIFICATE and VALKYRIE_TLS_KEY name, else none.
  std::string tls_ca_file{};           // Whose nodes are believed; none: as this system has it.
  std::string tls_crl_file{};          // Certificates that those took back.
  std::string tls_certificate_file{};  // Shown to nodes that ask who this is, with what leads to
                                       // its root.
  std::string tls_key_file{};          // Its key, closed to other users.
  // Talks to no node whose key exchange a later quantum computer breaks.
  bool tls_require_pq = false;
  // Bytes of operations that may wait while there is no connection or the node takes no more now;
  // what comes on top fails with resource_exhausted, not executed.
  std::size_t waiting_bytes_max = 8u << 20;
  // Threads that run blocking handlers. They start with the first such service.
  std::size_t handler_threads = 8;
  // Backoff between connection attempts: full jitter up to a bound that doubles from `min` to
  // `max` with each failure.
  Duration backoff_min = std::chrono::milliseconds{100};
  Duration backoff_max = std::chrono::seconds{5};
  // Uniform in [0, 1), for jitter; called on the loop. Empty: seeded from the system.
  std::function<double()> random;
  // Takes one line, without its end, about what no operation reports: connection lost and found,
  // a registration lost, a task that failed, a turn of the loop longer than 100 ms. Called on the
  // loop. Empty: standard error.
  std::function<void(std::string_view line)> log;
  // For valkyrie::testing::Node, whose clients it gives a clock that can be moved on. Nothing where
  // there is a `loop`.
  std::shared_ptr<transport::SkippedTime> skipped_time{};
};

}  // namespace valkyrie
