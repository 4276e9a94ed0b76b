#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <system_error>

#include <CLI/CLI.hpp>

#include "protocol/hex_text.h"
#include "server/policy/audit_verifier.h"
#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/json.h"

namespace valkyrie::tools {

namespace {

namespace crypto = protocol::crypto;
using policy::AuditFinding;
using policy::AuditReport;
using protocol::hex_text;

struct VerifyArguments {
  std::vector<std::string> keys;
  std::string expect;
  bool complete = false;
  std::vector<std::string> files;
};

// Digits, or with "@FILE" or "-" what they are in, into `bytes`. The error names what is wrong.
std::expected<void, std::string> read_digits(const std::string& option, const std::string& argument,
                                             std::span<std::byte> bytes) {
  const auto given = argument.starts_with('@') || argument == "-"
                         ? read_body(argument)
                         : std::expected<std::string, std::string>(argument);
  if (!given) return std::unexpected(given.error());
  std::string_view text = *given;
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (protocol::read_hex_text(text, bytes)) return {};
  return std::unexpected(fmt::format("{}: not {} hexadecimal digits", option, 2 * bytes.size()));
}

std::expected<policy::AuditExpectation, std::string> expectation(const VerifyArguments& arguments) {
  policy::AuditExpectation expected{.complete = arguments.complete};
  for (const std::string& key : arguments.keys) {
    if (auto read = read_digits("--key", key, expected.keys.emplace_back()); !read) {
      return std::unexpected(std::move(read.error()));
    }
  }
  if (arguments.expect.empty()) return expected;
  if (auto read = read_digits("--expect", arguments.expect, expected.head.emplace()); !read) {
    return std::unexpected(std::move(read.error()));
  }
  return expected;
}

// Gives a file to the verifier line by line, holding one line at a time. Errors, for people.
std::expected<void, std::string> read_lines(const std::string& path,
                                            policy::AuditVerifier& verifier) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, 1U << 16U> buffer{};
  std::string line;
  while (file) {
    file.read(buffer.data(), buffer.size());
    std::string_view rest(buffer.data(), static_cast<std::size_t>(file.gcount()));
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      // Enough of a line that is too long to see that it is.
      line.append(rest.substr(0, end), 0, policy::kAuditLineBytesMax + 1 - line.size());
      if (end == std::string_view::npos) break;
      verifier.on_line(line);
      line.clear();
      rest.remove_prefix(end + 1);
    }
  }
  if (!file.eof()) {
    return std::unexpected(fmt::format("{}: {}", path, std::generic_category().message(errno)));
  }
  if (!line.empty()) verifier.on_line(line, false);
  return {};
}

json::object finding_json(const AuditFinding& finding) {
  return {{"file", finding.file},
          {"line", finding.line},
          {"seq", finding.sequence},
          {"problem", policy::to_string(finding.problem)},
          {"text", finding.text}};
}

void print_report_json(const AuditReport& report) {
  json::array findings;
  for (const AuditFinding& finding : report.findings) findings.push_back(finding_json(finding));
  print_json(json::object{{"whole", report.findings.empty()},
                          {"files", report.files},
                          {"lines", report.lines},
                          {"checkpoints", report.checkpoints},
                          {"first_seq", report.first_sequence},
                          {"last_seq", report.head.sequence},
                          {"head", hex_text(report.head.hash)},
                          {"unsigned", report.unsigned_lines},
                          {"closed", report.closed},
                          {"findings", std::move(findings)},
                          {"findings_left_out", report.findings_left_out}});
}

void print_report(const AuditReport& report) {
  for (const AuditFinding& finding : report.findings) {
    const std::string place =
        finding.file.empty() ? "" : fmt::format("{}:{}: ", finding.file, finding.line);
    fmt::print("{}{}: {}\n", place, policy::to_string(finding.problem), finding.text);
  }
  if (report.findings_left_out > 0) fmt::print("{} more\n", report.findings_left_out);
  fmt::print("{}: {} lines in {} files, {} to {} of the chain, {} checkpoints{}\n",
             report.findings.empty() ? "whole" : "NOT whole", report.lines, report.files,
             report.first_sequence, report.head.sequence, report.checkpoints,
             report.closed ? ", closed" : "");
  if (report.unsigned_lines > 0) {
    fmt::print("the last {} lines are not signed yet: who can write the files could alter them\n",
               report.unsigned_lines);
  }
  fmt::print("head {}\n", hex_text(report.head.hash));
}

int run_verify(const Globals& globals, const VerifyArguments& arguments) {
  auto expected = expectation(arguments);
  if (!expected) {
    print_error(expected.error());
    return kExitUsage;
  }
  policy::AuditVerifier verifier(std::move(*expected));
  for (const std::string& path : arguments.files) {
    verifier.begin_file(path);
    if (const auto read = read_lines(path, verifier); !read) {
      print_error(read.error());
      return kExitUsage;
    }
  }
  const AuditReport report = verifier.finish();
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    print_report_json(report);
  } else {
    print_report(report);
  }
  return report.findings.empty() ? kExitDone : kExitNo;
}

int run_key(const std::string& path) {
  crypto::Ed25519Seed seed;
  if (const auto read = read_digits(path, "@" + path, seed.bytes()); !read) {
    print_error(read.error());
    return kExitUsage;
  }
  fmt::print("{}\n", hex_text(crypto::ed25519_key(seed)));
  return kExitDone;
}

void add_verify(CLI::App& audit, Context& context) {
  auto* command = audit.add_subcommand("verify", "Whether a log is what a node wrote");
  command->footer(
      "Reads the files alone: no node is asked. Exits with 1 if a line was changed, removed, "
      "moved\n"
      "or cut, 2 if a file cannot be read.\nExamples:\n"
      "  valkyrie audit verify --key 4f1d… audit-*.jsonl\n"
      "  valkyrie -o json audit verify --key @audit.pub --expect 09ab… audit-*.jsonl");
  auto arguments = std::make_shared<VerifyArguments>();
  command->add_option("--key", arguments->keys, "Public key of the node, or @FILE; repeatable")
      ->type_name("KEY")
      ->allow_extra_args(false)
      ->required();
  command
      ->add_option("--expect", arguments->expect,
                   "A head noted earlier, or @FILE: the log must still contain it")
      ->type_name("HASH");
  command->add_flag("--complete", arguments->complete,
                    "The log must end with a checkpoint, as that of a stopped node does");
  command->add_option("FILES", arguments->files, "In their order")->required();
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_verify(context.globals, *arguments); };
  });
}

}  // namespace

void add_audit(CLI::App& app, Context& context) {
  auto* audit = app.add_subcommand("audit", "What a node wrote down, without a node");
  audit->require_subcommand(1);
  add_verify(*audit, context);
  auto* key = audit->add_subcommand("key", "The public key of a node's secret audit key");
  key->footer("Examples:\n  valkyrie audit key ~/.local/state/valkyrie/audit.key > audit.pub");
  auto path = std::make_shared<std::string>();
  key->add_option("FILE", *path, "audit.key, of the node's state directory")->required();
  key->callback([&context, path] { context.run = [path] { return run_key(*path); }; });
}

}  // namespace valkyrie::tools
