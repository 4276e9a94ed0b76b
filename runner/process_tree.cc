#include "runner/process_tree.h"

#include <algorithm>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <sched.h>
#include <set>
#include <signal.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <unordered_map>

namespace valkyrie::runner {
namespace {

// Looks at a tree that goes on forking, before it is left to the kill.
constexpr int kHoldLooksMax = 200;

struct Stat {
  pid_t parent = 0;
  char state = '?';
  std::string command;
};

// At most 4 KiB of a file of /proc; empty when its process is gone, even while it is read.
std::string read_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string text(4096, '\0');
  const ssize_t size = read(fd, text.data(), text.size());
  close(fd);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  return text;
}

// "PID (COMMAND) STATE PPID ..."; the command may hold anything, parentheses too.
std::optional<Stat> read_stat(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos || text.size() < close + 5) {
    return std::nullopt;
  }
  Stat stat;
  stat.command = text.substr(open + 1, close - open - 1);
  stat.state = text[close + 2];
  std::from_chars(text.data() + close + 4, text.data() + text.size(), stat.parent);
  return stat;
}

}  // namespace

std::vector<pid_t> descendants(pid_t root) {
  std::unordered_map<pid_t, std::vector<pid_t>> children;
  std::unordered_map<pid_t, char> states;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc", error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename();
    pid_t pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) continue;
    const auto stat = read_stat(pid);
    if (!stat) continue;
    children[stat->parent].push_back(pid);
    states[pid] = stat->state;
  }
  std::vector<pid_t> found;
  std::vector<pid_t> pending{root};
  while (!pending.empty()) {
    const pid_t parent = pending.back();
    pending.pop_back();
    for (const pid_t child : children[parent]) {
      pending.push_back(child);
      if (states[child] != 'Z' && states[child] != 'X') found.push_back(child);
    }
  }
  return found;
}

namespace {

// Whether a process cannot fork any more: stopped, traced, dead or gone.
bool is_still(pid_t pid) {
  const auto stat = read_stat(pid);
  return !stat || std::string_view("TtZX").find(stat->state) != std::string_view::npos;
}

}  // namespace

std::vector<pid_t> hold_descendants(pid_t root) {
  std::set<pid_t> held;
  bool still = false;  // Before this look, every process that was known had stopped.
  for (int look = 0; look < kHoldLooksMax; ++look) {
    bool found_more = false;
    for (const pid_t pid : descendants(root)) {
      if (!held.insert(pid).second) continue;
      kill(pid, SIGSTOP);
      found_more = true;
    }
    if (!found_more && still) break;
    // A stop takes effect when the kernel comes to it: until then a process may yet fork.
    still = std::ranges::all_of(held, is_still);
    if (!still) sched_yield();
  }
  return {held.begin(), held.end()};
}

messages::Survivor describe_survivor(pid_t pid) {
  messages::Survivor survivor{.pid = static_cast<std::uint32_t>(pid)};
  if (auto stat = read_stat(pid)) {
    survivor.state = std::string(1, stat->state);
    survivor.command = std::move(stat->command);
  }
  survivor.wait_channel = read_file("/proc/" + std::to_string(pid) + "/wchan");
  return survivor;
}

}  // namespace valkyrie::runner
