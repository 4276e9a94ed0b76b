// What a node is to peers that come through TLS: its certificate, and whose it takes.
#pragma once

#include <expected>
#include <memory>
#include <mutex>
#include <string>

#include "protocol/channel.h"
#include "protocol/tls/acceptor.h"
#include "server/ops/tls_setting_text.h"

namespace valkyrie::server {

// Makes the acceptor's side of each channel. Any thread.
class TlsDoor final : public protocol::ChannelSource {
 public:
  // Reads the files. Errors, for people: which one is unusable, and why.
  [[nodiscard]] static std::expected<std::unique_ptr<TlsDoor>, std::string> open(
      const TlsSettings& settings);

  // Reads the files again, for channels from now on; those that are stay. Errors as of open(): then
  // nothing changes.
  [[nodiscard]] std::expected<void, std::string> reload();

  [[nodiscard]] std::unique_ptr<protocol::Channel> accept_tls() override;
  [[nodiscard]] bool allows_plain() const override { return false; }

 private:
  explicit TlsDoor(TlsSettings settings) : settings_(std::move(settings)) {}

  const TlsSettings settings_;
  std::mutex mutex_;
  std::shared_ptr<const protocol::tls::Acceptor> acceptor_;  // Guarded by mutex_.
};

}  // namespace valkyrie::server
