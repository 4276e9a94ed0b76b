// Makes the acceptor's side of TLS channels.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "protocol/channel.h"
#include "protocol/tls/config.h"

namespace valkyrie::protocol::tls {

class Context;

// One certificate with its key, and whom it takes. Tickets are for channels of the same acceptor
// alone: another, of other files, asks again who the dialer is. The keys of tickets change by
// themselves every two days, and are good for two more. Any thread.
class Acceptor {
 public:
  // Errors, for people and without a secret: which text is unusable, and why.
  [[nodiscard]] static std::expected<std::unique_ptr<Acceptor>, std::string> make(
      const AcceptorConfig& config);

  // A channel, which may outlive this.
  [[nodiscard]] std::unique_ptr<protocol::Channel> accept() const;

 private:
  explicit Acceptor(std::shared_ptr<const Context> context);

  std::shared_ptr<const Context> context_;
};

}  // namespace valkyrie::protocol::tls
