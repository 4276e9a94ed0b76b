#include "tools/valkyrie/context.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>

namespace valkyrie::tools {

std::expected<Client, int> connect(const Globals& globals, Loop* loop) {
  ClientOptions options;
  options.loop = loop;
  options.agent = "valkyrie-cli";
  options.token_file = globals.token_file;
  if (!globals.verbose) options.log = [](std::string_view) {};
  auto client = Client::connect(Address(globals.node), std::move(options));
  if (!client) {
    print_error(client.error().message());
    const bool usage = client.error().code() == StatusCode::invalid_argument;
    return std::unexpected(usage ? kExitUsage : kExitNoNode);
  }
  return std::move(*client);
}

void print_error(std::string_view text) { fmt::print(stderr, "error: {}\n", text); }

namespace {

// Whether the same call may succeed later: what is wrong in itself stays wrong.
bool may_pass(StatusCode code) {
  return code == StatusCode::unavailable || code == StatusCode::resource_exhausted ||
         code == StatusCode::deadline_exceeded || code == StatusCode::aborted;
}

}  // namespace

int report(const Status& status) {
  std::string_view hint;
  if (status.outcome() == Outcome::not_executed) {
    hint = may_pass(status.code()) ? "; not executed, safe to retry" : "; not executed";
  }
  if (status.outcome() == Outcome::maybe_executed) hint = "; it may have executed";
  print_error(fmt::format("{}{}", status.to_string(), hint));
  return kExitStatusBase + static_cast<int>(status.code());
}

void note(const Globals& globals, std::string_view text) {
  if (!globals.quiet) fmt::print(stderr, "{}\n", text);
}

std::expected<std::string, std::string> read_body(const std::string& argument) {
  if (argument.empty() || (argument[0] != '@' && argument != "-")) return argument;
  const bool standard_input = argument == "-";
  const std::string path = standard_input ? "standard input" : argument.substr(1);
  std::FILE* file = standard_input ? stdin : std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    return std::unexpected(fmt::format("body: cannot read {}: {}", path, std::strerror(errno)));
  }
  std::string body;
  char buffer[64 * 1024];
  while (const std::size_t size = std::fread(buffer, 1, sizeof buffer, file)) {
    body.append(buffer, size);
  }
  const bool failed = std::ferror(file) != 0;
  const int cause = errno;
  if (!standard_input) std::fclose(file);
  if (failed) {
    return std::unexpected(fmt::format("body: cannot read {}: {}", path, std::strerror(cause)));
  }
  return body;
}

std::vector<std::string> Table::lines() const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::vector<std::string> lines;
  for (const auto& row : rows_) {
    std::string& line = lines.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
  }
  return lines;
}

void Table::print() const {
  for (const std::string& line : lines()) fmt::print("{}\n", line);
}

std::string labels_text(const std::vector<std::pair<std::string, std::string>>& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, value);
  }
  return text.empty() ? "-" : text;
}

std::string human_duration(Duration duration) {
  const auto ns = static_cast<double>(duration.count());
  if (ns < 1e3) return fmt::format("{:.0f}ns", ns);
  if (ns < 1e6) return fmt::format("{:.1f}us", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.2f}ms", ns / 1e6);
  if (ns < 60e9) return fmt::format("{:.2f}s", ns / 1e9);
  const auto seconds = static_cast<long long>(ns / 1e9);
  if (seconds < 3600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
}

std::optional<std::pair<std::string, std::string>> parse_pair(std::string_view text) {
  const std::size_t at = text.find('=');
  if (at == std::string_view::npos || at == 0) return std::nullopt;
  return std::pair(std::string(text.substr(0, at)), std::string(text.substr(at + 1)));
}

std::string human_rate(double per_second) {
  if (per_second >= 1e6) return fmt::format("{:.2f} M/s", per_second / 1e6);
  if (per_second >= 1e3) return fmt::format("{:.1f} k/s", per_second / 1e3);
  return fmt::format("{:.0f}/s", per_second);
}

}  // namespace valkyrie::tools
