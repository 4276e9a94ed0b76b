#include "server/ops/audit_log.h"

#include <bit>
#include <fmt/format.h>
#include <utility>

#include "server/policy/audit_verifier.h"

namespace valkyrie::server {

using policy::AuditCause;
using policy::AuditRecord;

namespace {

// Whether the files themselves are wrong, beside their signatures, which may be of a key of before,
// and their end, which may be torn.
const policy::AuditFinding* damage(const policy::AuditReport& report) {
  using policy::AuditProblem;
  for (const policy::AuditFinding& finding : report.findings) {
    if (finding.problem != AuditProblem::unknown_key &&
        finding.problem != AuditProblem::nothing_found && finding.problem != AuditProblem::torn) {
      return &finding;
    }
  }
  return nullptr;
}

}  // namespace

AuditLog::AuditLog(std::unique_ptr<AuditDirectory> directory, const AuditOptions& options,
                   spdlog::logger& log)
    : directory_(std::move(directory)),
      settings_(options.settings),
      node_(options.node),
      seed_(options.seed.bytes()),
      key_(protocol::crypto::ed25519_key(seed_)),
      unix_ms_(options.unix_ms),
      log_(log) {}

std::expected<std::unique_ptr<AuditLog>, std::string> AuditLog::open(
    std::unique_ptr<AuditDirectory> directory, const AuditOptions& options, spdlog::logger& log) {
  std::unique_ptr<AuditLog> opened(new AuditLog(std::move(directory), options, log));
  if (auto resumed = opened->resume(); !resumed) return std::unexpected(resumed.error());
  return opened;
}

std::string AuditLog::unusable(std::uint64_t file, std::string_view why) const {
  return fmt::format("cannot keep the audit log in {}: {}", directory_->path(file), why);
}

std::expected<void, std::string> AuditLog::resume() {
  const auto files = directory_->list();
  if (!files) return std::unexpected(unusable(1, files.error().message()));
  if (files->empty()) return begin(1, 0, 0);
  const std::uint64_t last = files->back();
  const auto torn = read_end(last);
  if (!torn) return std::unexpected(torn.error());
  // A crash may have left a file without its first line: the chain is in the one before.
  const std::uint64_t size = size_;
  if (size == 0 && files->size() > 1) {
    const auto before = read_end((*files)[files->size() - 2]);
    if (!before) return std::unexpected(before.error());
  }
  return begin(last, size, *torn);
}

// Takes head and size of a file from its whole lines; the bytes behind them are returned.
std::expected<std::uint64_t, std::string> AuditLog::read_end(std::uint64_t file) {
  const auto text = directory_->read(file);
  if (!text) return std::unexpected(unusable(file, text.error().message()));
  policy::AuditVerifier verifier({.keys = {key_}});
  verifier.begin_file(directory_->path(file));
  std::string_view rest = *text;
  for (std::size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    verifier.on_line(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  size_ = text->size() - rest.size();
  if (size_ == 0) return rest.size();
  const policy::AuditReport report = verifier.finish();
  if (const policy::AuditFinding* found = damage(report)) {
    return std::unexpected(fmt::format(
        "the audit log is not what a node wrote: {}:{}: {}; look at it with valkyrie audit verify, "
        "and move the files away to begin a new log",
        found->file, found->line, found->text));
  }
  head_ = report.head;
  unsigned_lines_ = report.unsigned_lines;
  return rest.size();
}

std::expected<void, std::string> AuditLog::begin(std::uint64_t file, std::uint64_t size,
                                                 std::uint64_t torn) {
  auto opened = directory_->open(file);
  if (!opened) return std::unexpected(unusable(file, opened.error().message()));
  file_ = std::move(*opened);
  file_number_ = file;
  size_ = size;
  torn_ = torn > 0;
  const std::scoped_lock lock(mutex_);
  std::error_code error;
  if (size == 0) {
    policy::AuditHead next = head_;
    const std::string line = policy::encode_audit_file(next, file, node_, unix_ms_());
    error = append(*file_, line);
    if (!error) {
      head_ = next;
      ++unsigned_lines_;
    }
  }
  if (!error && torn > 0) {
    const std::string path = directory_->path(file);
    log_.warn("{}: took away {} bytes of a line that a crash had torn", path, torn);
    const std::string reason = fmt::format("{} bytes", torn);
    error = append_record({.action = "log.recovered", .what = path, .reason = reason});
  }
  if (error) return std::unexpected(unusable(file, error.message()));
  return {};
}

// Writes a line so that it is in the file as a whole or will not be.
std::error_code AuditLog::append(AuditFile& file, const std::string& line) {
  if (torn_) {
    if (const auto error = file.truncate(size_)) return error;
    torn_ = false;
  }
  if (const auto error = file.append(line + '\n')) {
    torn_ = true;
    return error;
  }
  size_ += line.size() + 1;
  return {};
}

std::error_code AuditLog::append_record(AuditRecord record) {
  record.unix_ms = unix_ms_();
  policy::AuditHead next = head_;
  const std::string line = policy::encode_audit_record(next, record);
  if (const auto error = append(*file_, line)) return error;
  head_ = next;
  ++unsigned_lines_;
  return {};
}

std::error_code AuditLog::append_checkpoint(AuditCause cause) {
  policy::AuditHead next = head_;
  const std::string line = policy::encode_audit_checkpoint(next, cause, unix_ms_(), seed_, key_);
  if (const auto error = append(*file_, line)) return error;
  head_ = next;
  unsigned_lines_ = 0;
  return {};
}

// Says in the log itself what it lacks.
std::error_code AuditLog::append_gap() {
  if (lost_ == 0) return {};
  const std::string reason = fmt::format("{} records could not be written", lost_);
  if (const auto error = append_record({.action = "log.gap", .reason = reason})) return error;
  log_.warn("the audit log is written again; {}", reason);
  lost_ = 0;
  failures_ = 0;
  return {};
}

std::error_code AuditLog::rotate() {
  if (unsigned_lines_ > 0) {
    if (const auto error = append_checkpoint(AuditCause::rotation)) return error;
  }
  if (const auto error = file_->sync()) return error;
  auto opened = directory_->open(file_number_ + 1);
  if (!opened) return opened.error();
  policy::AuditHead next = head_;
  const std::string line =
      policy::encode_audit_file(next, file_number_ + 1, node_, unix_ms_()) + '\n';
  if (const auto error = (*opened)->truncate(0)) return error;  // Of an attempt that failed.
  if (const auto error = (*opened)->append(line)) return error;
  file_ = std::move(*opened);
  ++file_number_;
  size_ = line.size();
  head_ = next;
  ++unsigned_lines_;
  return {};
}

// One line when it begins, then one for twice as many: a log that is full of itself helps nobody.
void AuditLog::complain(std::string_view what, std::error_code error) {
  if (!std::has_single_bit(++failures_)) return;
  log_.error("AUDIT LOG: cannot {} {}: {}; {} records are lost, {}", what,
             directory_->path(file_number_), error.message(), lost_,
             settings_.on_failure == AuditFailure::refuse ? "what they are about is refused"
                                                          : "the node goes on");
}

bool AuditLog::write(const AuditRecord& record) {
  const std::scoped_lock lock(mutex_);
  if (closed_) return false;
  const bool without = settings_.on_failure == AuditFailure::proceed;
  if (size_ >= settings_.file_bytes_max) {
    // Without another file, for want of descriptors for one, this one can go on.
    if (const auto error = rotate()) complain("begin another file after", error);
  }
  std::error_code error = append_gap();
  if (!error) error = append_record(record);
  if (error) {
    ++lost_;
    complain("write to", error);
    return without;
  }
  if (unsigned_lines_ >= settings_.checkpoint_lines) {
    error = append_checkpoint(AuditCause::count);
    if (error) complain("sign", error);
  }
  if (settings_.sync == AuditSync::checkpoint) return true;
  error = file_->sync();
  if (!error) return true;
  complain("keep", error);
  return without;
}

void AuditLog::checkpoint() {
  std::shared_ptr<AuditFile> written;
  {
    const std::scoped_lock lock(mutex_);
    if (closed_ || unsigned_lines_ == 0) return;
    if (const auto error = append_checkpoint(AuditCause::time)) return complain("sign", error);
    written = file_;
  }
  const auto error = written->sync();
  if (!error) return;
  const std::scoped_lock lock(mutex_);
  complain("keep", error);
}

void AuditLog::close() {
  const std::scoped_lock lock(mutex_);
  if (std::exchange(closed_, true)) return;
  std::error_code error = append_gap();
  if (!error) error = append_checkpoint(AuditCause::close);
  if (!error) error = file_->sync();
  if (error) complain("end", error);
}

policy::AuditHead AuditLog::head() const {
  const std::scoped_lock lock(mutex_);
  return head_;
}

}  // namespace valkyrie::server
