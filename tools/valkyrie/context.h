// What every command shares: the global options, the connection, output and exit codes.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "valkyrie/client.h"

namespace valkyrie::tools {

// Exit codes: docs/guide/cli.md. A failed call exits with kExitStatusBase + its status code.
inline constexpr int kExitDone = 0;
inline constexpr int kExitNo = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNoNode = 3;
inline constexpr int kExitStatusBase = 64;
inline constexpr int kExitInterrupted = 130;

// How results are printed.
enum class Format : std::uint8_t { table, json, jsonl, raw };

// The global options.
struct Globals {
  std::string node;        // Empty: the client's default order.
  std::string token_file;  // Empty: as the environment says.
  Format format = Format::table;
  Duration timeout{};  // Of the command's calls; 0: their default.
  bool quiet = false;
  bool verbose = false;
};

// Given to each command. `run` is what the chosen command does; main() calls it once everything
// was parsed, and exits with what it returns.
struct Context {
  Globals globals;
  std::function<int()> run;
};

// Connects as the global options say, on `loop` if there is one. The error is printed; the exit
// code is the error value.
[[nodiscard]] std::expected<Client, int> connect(const Globals& globals, Loop* loop = nullptr);

// Prints "error: TEXT" to standard error.
void print_error(std::string_view text);
// Prints a failed call with what is known about its execution, and returns its exit code.
int report(const Status& status);
// Prints to standard error, unless --quiet.
void note(const Globals& globals, std::string_view text);

// The body of a message as the command line gives it: text, "@FILE" for a file, "-" for standard
// input. The error names the file and the cause.
[[nodiscard]] std::expected<std::string, std::string> read_body(const std::string& argument);

// Rows under a header, columns aligned, as wide as their longest cell.
class Table {
 public:
  // Takes the names of the columns.
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  // Adds a row. REQUIRES: as many cells as columns.
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // Header and rows.
  [[nodiscard]] std::vector<std::string> lines() const;
  // Prints them to standard output.
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "k=v k=v", "-" for none.
[[nodiscard]] std::string labels_text(
    const std::vector<std::pair<std::string, std::string>>& labels);
// A length of time for people: "850ns", "12.3us", "4.56ms", "1.20s", "3m05s".
[[nodiscard]] std::string human_duration(Duration duration);
// A rate for people: "850/s", "12.3 k/s", "4.56 M/s".
[[nodiscard]] std::string human_rate(double per_second);
// Reads "key=value"; nullopt if there is no '=' or no key.
[[nodiscard]] std::optional<std::pair<std::string, std::string>> parse_pair(std::string_view text);

}  // namespace valkyrie::tools
