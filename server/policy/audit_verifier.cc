#include "server/policy/audit_verifier.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace valkyrie::policy {

namespace {

std::string lines_text(std::uint64_t first, std::uint64_t last) {
  return first == last ? fmt::format("line {} of the chain is", first)
                       : fmt::format("lines {} to {} of the chain are", first, last);
}

}  // namespace

std::string_view to_string(AuditProblem problem) {
  switch (problem) {
    case AuditProblem::torn:
      return "torn";
    case AuditProblem::changed:
      return "changed";
    case AuditProblem::missing:
      return "missing";
    case AuditProblem::out_of_order:
      return "out_of_order";
    case AuditProblem::not_signed:
      return "not_signed";
    case AuditProblem::unknown_key:
      return "unknown_key";
    case AuditProblem::nothing_found:
      return "nothing_found";
    default:
      return "malformed";
  }
}

AuditVerifier::AuditVerifier(AuditExpectation expectation) : expectation_(std::move(expectation)) {}

void AuditVerifier::find(AuditProblem problem, std::uint64_t sequence, std::string text) {
  if (report_.findings.size() == kAuditFindingsMax) {
    ++report_.findings_left_out;
    return;
  }
  report_.findings.push_back({.file = file_,
                              .line = line_,
                              .sequence = sequence,
                              .problem = problem,
                              .text = std::move(text)});
}

void AuditVerifier::begin_file(std::string_view name) {
  end_file();
  file_ = name;
  line_ = 0;
  at_beginning_ = true;
  ++report_.files;
}

void AuditVerifier::end_file() {
  if (report_.files > 0 && line_ == 0) find(AuditProblem::missing, 0, "the file is empty");
}

void AuditVerifier::on_line(std::string_view text, bool terminated) {
  ++line_;
  if (!terminated) {
    return find(AuditProblem::torn, 0,
                fmt::format("{} bytes without an end of line: a crash while it was written, or cut",
                            text.size()));
  }
  ++report_.lines;
  if (const auto line = parse_audit_line(text)) return take(*line);
  ++unread_;
  find(AuditProblem::malformed, 0, "not a line of an audit log");
}

void AuditVerifier::take(const AuditLine& line) {
  const bool first_of_all = report_.first_sequence == 0;
  if (first_of_all) {
    report_.first_sequence = line.sequence;
    signed_ = line.sequence - 1;
  }
  if (std::exchange(at_beginning_, false) || line.kind == AuditKind::file) take_file(line);
  if (!first_of_all && !take_sequence(line)) return;
  unread_ = 0;
  take_hash(line);
  if (line.kind == AuditKind::checkpoint) take_checkpoint(line);
  report_.head = {line.sequence, line.hash};
  hash_known_ = true;
  last_is_checkpoint_ = line.kind == AuditKind::checkpoint;
  report_.closed = last_is_checkpoint_ && line.cause == "close";
  if (expectation_.head == line.hash) head_seen_ = true;
  if (line.sequence - signed_ > kAuditCheckpointLinesMax && !std::exchange(run_reported_, true)) {
    find(AuditProblem::not_signed, line.sequence,
         fmt::format("no checkpoint within {} lines: no node goes on for so long without",
                     kAuditCheckpointLinesMax));
  }
}

// False if the line is not where it was written; it is left out then, as if it were not there.
bool AuditVerifier::take_sequence(const AuditLine& line) {
  const std::uint64_t last = report_.head.sequence;
  if (line.sequence <= last) {
    find(AuditProblem::out_of_order, line.sequence,
         fmt::format("line {} of the chain stands after line {}: moved, repeated or added",
                     line.sequence, last));
    return false;
  }
  // Lines that cannot be read were counted already, and may be what is missing here.
  if (line.sequence > last + 1 + unread_) {
    find(AuditProblem::missing, line.sequence,
         fmt::format("{} missing before this one",
                     lines_text(last + 1, line.sequence - 1 - unread_)));
  }
  if (line.sequence != last + 1) hash_known_ = false;
  return true;
}

void AuditVerifier::take_file(const AuditLine& line) {
  if (line.kind != AuditKind::file) {
    return find(AuditProblem::missing, line.sequence, "the file's beginning is missing");
  }
  const std::uint64_t expected = file_number_ + 1;
  if (line.file == 1 && (line.sequence != 1 || line.previous != protocol::crypto::Digest{})) {
    find(AuditProblem::changed, line.sequence, "the first file does not begin a chain");
  } else if (file_number_ != 0 && line.file != expected) {
    find(line.file > expected ? AuditProblem::missing : AuditProblem::out_of_order, line.sequence,
         fmt::format("file {} of the log stands where file {} should", line.file, expected));
  } else if (file_number_ != 0 && line.sequence == report_.head.sequence + 1 &&
             !last_is_checkpoint_) {
    find(AuditProblem::missing, line.sequence,
         "the file before this one does not end with a checkpoint, as each does");
  }
  file_number_ = std::max(line.file, file_number_);
}

void AuditVerifier::take_hash(const AuditLine& line) {
  const bool names_previous = line.kind != AuditKind::record;
  if (!hash_known_) {
    if (!names_previous) return;  // Nothing to hold it against; the cause was reported.
    report_.head.hash = other_ = line.previous;
  }
  const auto fits = [&](const protocol::crypto::Digest& previous) {
    return audit_hash(previous, line.hashed) == line.hash &&
           (!names_previous || line.previous == previous);
  };
  const bool good = fits(report_.head.hash) || (hash_known_ && fits(other_));
  // What it should be, beside what it says it is: the next line follows one of the two.
  other_ = audit_hash(report_.head.hash, line.hashed);
  if (!good) {
    find(AuditProblem::changed, line.sequence,
         fmt::format("line {} of the chain is not what was written, or the one before it is not",
                     line.sequence));
  }
}

void AuditVerifier::take_checkpoint(const AuditLine& line) {
  const auto signed_lines = [&] { return lines_text(signed_ + 1, line.sequence); };
  if (!audit_signature_holds(line)) {
    return find(AuditProblem::not_signed, line.sequence,
                fmt::format("the signature is wrong: {} not what was signed", signed_lines()));
  }
  if (std::ranges::find(expectation_.keys, line.key) == expectation_.keys.end()) {
    return find(AuditProblem::unknown_key, line.sequence,
                fmt::format("signed with another key: {} not this node's", signed_lines()));
  }
  ++report_.checkpoints;
  signed_ = line.sequence;
  run_reported_ = false;
}

AuditReport AuditVerifier::finish() {
  end_file();
  file_.clear();
  line_ = 0;
  const std::uint64_t last = report_.head.sequence;
  report_.unsigned_lines = last - signed_;
  if (report_.lines == 0) {
    find(AuditProblem::nothing_found, 0, "there is no line");
  } else if (report_.checkpoints == 0) {
    find(AuditProblem::nothing_found, 0,
         "no checkpoint with a good signature: anyone may have "
         "written all of this");
  } else if (expectation_.complete && !(last_is_checkpoint_ && signed_ == last)) {
    find(AuditProblem::not_signed, last,
         fmt::format("the log does not end with a checkpoint: {} not signed",
                     lines_text(signed_ + 1, last)));
  }
  if (expectation_.head && !head_seen_) {
    find(AuditProblem::nothing_found, 0,
         "the line with the expected hash is not there: the log was cut before it, or is another");
  }
  return std::move(report_);
}

}  // namespace valkyrie::policy
