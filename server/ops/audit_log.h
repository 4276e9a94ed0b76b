// Writes the audit log of a node: lines into files, checkpoints in time, and what happens when the
// disk does not take them. Layout: docs/spec/audit.md.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <spdlog/logger.h>
#include <string>
#include <string_view>
#include <system_error>

#include "protocol/time.h"
#include "server/ops/audit_directory.h"
#include "server/policy/audit_chain.h"
#include "server/policy/audit_sink.h"

namespace valkyrie::server {

// What happens to an action whose record cannot be written.
enum class AuditFailure : std::uint8_t {
  proceed,  // It goes on; how many were not written is.
  refuse,   // It is refused.
};

// When the disk is waited for.
enum class AuditSync : std::uint8_t {
  checkpoint,  // At each checkpoint, by a thread that nobody waits for.
  record,      // At each record: it outlives a crash of the machine before the action goes on.
};

// How a log is written. docs/guide/security.md has the settings.
struct AuditSettings {
  AuditFailure on_failure = AuditFailure::proceed;
  AuditSync sync = AuditSync::checkpoint;
  std::uint64_t file_bytes_max = 64U << 20U;  // A file over it is followed by another.
  std::uint64_t checkpoint_lines = 1000;
  protocol::Duration checkpoint_interval = std::chrono::seconds(10);
};

// What may be set.
inline constexpr std::uint64_t kAuditFileBytesMin = 64U << 10U;
inline constexpr std::uint64_t kAuditFileBytesMax = 256U << 20U;
inline constexpr protocol::Duration kAuditIntervalMin = std::chrono::milliseconds(100);
inline constexpr protocol::Duration kAuditIntervalMax = std::chrono::hours(1);

// What a log is opened with.
struct AuditOptions {
  AuditSettings settings;
  std::string node;                           // The node's id.
  const protocol::crypto::Ed25519Seed& seed;  // Copied.
  std::function<std::uint64_t()> unix_ms;     // The clock. Any thread.
};

// All functions from any thread, but close().
class AuditLog final : public policy::AuditSink {
 public:
  // Goes on with the files that are there, or begins. What a crash has torn off the last line is
  // taken away and written down. Keeps a reference to `log`. Errors, for people: a file cannot be
  // read or written, or is not what a node wrote.
  [[nodiscard]] static std::expected<std::unique_ptr<AuditLog>, std::string> open(
      std::unique_ptr<AuditDirectory> directory, const AuditOptions& options, spdlog::logger& log);

  [[nodiscard]] bool write(const policy::AuditRecord& record) override;
  // Signs what was written since the last checkpoint, if anything was, and waits for the disk
  // without keeping others from writing.
  void checkpoint();
  // Signs the end. Nothing is written after it.
  void close();

  // The last line.
  [[nodiscard]] policy::AuditHead head() const;
  // The key that verifies it.
  [[nodiscard]] const protocol::crypto::Ed25519Key& key() const { return key_; }

 private:
  AuditLog(std::unique_ptr<AuditDirectory> directory, const AuditOptions& options,
           spdlog::logger& log);
  [[nodiscard]] std::expected<void, std::string> resume();
  [[nodiscard]] std::expected<std::uint64_t, std::string> read_end(std::uint64_t file);
  [[nodiscard]] std::expected<void, std::string> begin(std::uint64_t file, std::uint64_t size,
                                                       std::uint64_t torn);
  // The rest is called with the mutex held.
  [[nodiscard]] std::error_code append(AuditFile& file, const std::string& line);
  [[nodiscard]] std::error_code append_record(policy::AuditRecord record);
  [[nodiscard]] std::error_code append_checkpoint(policy::AuditCause cause);
  [[nodiscard]] std::error_code append_gap();
  [[nodiscard]] std::error_code rotate();
  void complain(std::string_view what, std::error_code error);
  [[nodiscard]] std::string unusable(std::uint64_t file, std::string_view why) const;

  const std::unique_ptr<AuditDirectory> directory_;
  const AuditSettings settings_;
  const std::string node_;
  protocol::crypto::Ed25519Seed seed_;
  const protocol::crypto::Ed25519Key key_;
  const std::function<std::uint64_t()> unix_ms_;
  spdlog::logger& log_;

  mutable std::mutex mutex_;  // Guards all below.
  policy::AuditHead head_;
  std::uint64_t file_number_ = 0;
  std::shared_ptr<AuditFile> file_;
  std::uint64_t size_ = 0;            // Of whole lines in file_.
  bool torn_ = false;                 // Something is behind them that has to go first.
  std::uint64_t unsigned_lines_ = 0;  // Since the last checkpoint.
  std::uint64_t lost_ = 0;      // Records that could not be written since the last that could.
  std::uint64_t failures_ = 0;  // Of any kind, since it last worked.
  bool closed_ = false;
};

}  // namespace valkyrie::server
