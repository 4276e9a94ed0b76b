// Dials one address.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "transport/address.h"
#include "transport/reactor.h"
#include "transport/socket.h"
#include "transport/transport_error.h"

namespace valkyrie::transport {

// Takes the outcome of a dial. Called on the reactor's thread, never inside Connector::start().
// The handler may destroy the connector.
class ConnectHandler {
 public:
  // Connected: non-blocking, close-on-exec, tuned.
  virtual void on_connected(Socket socket) = 0;
  // No address of the host answered in time; the error is the last attempt's.
  virtual void on_connect_failed(const TransportError& error) = 0;

 protected:
  ~ConnectHandler() = default;
};

// How to dial.
struct ConnectOptions {
  StreamOptions stream{};
  // From start() to the outcome, the resolver included.
  protocol::Duration timeout = std::chrono::seconds{5};
  // A host with several addresses: the next one is tried beside the first after this long.
  protocol::Duration next_attempt = std::chrono::milliseconds{250};
};

// One dial: resolves the host (on a thread of its own if that may block), tries its addresses in
// order, each beside the ones before it, and keeps the first that connects. Destroying it gives
// up; nothing is called then. One thread: the reactor's.
class Connector {
 public:
  // Keeps references to `reactor` and `handler`.
  Connector(Reactor& reactor, ConnectHandler& handler, const ConnectOptions& options = {});
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  // Begins. Exactly one call of the handler follows. REQUIRES: not started before
  void start(const Address& address);

 private:
  class Dial;

  Reactor& reactor_;
  ConnectHandler& handler_;
  const ConnectOptions options_;
  std::unique_ptr<Dial> dial_;
};

}  // namespace valkyrie::transport
