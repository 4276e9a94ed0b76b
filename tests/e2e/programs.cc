#include "tests/e2e/programs.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <sstream>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include "protocol/assert.h"

namespace valkyrie::tests {
namespace {

using transport::Socket;

std::vector<std::string> with_node(const RunningNode& node,
                                   const std::vector<std::string>& arguments) {
  std::vector<std::string> all{"--node", node.unix_url};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

std::vector<std::string> runner_arguments(const RunningNode& node, const std::string& name,
                                          const std::string& work_dir,
                                          const std::vector<std::string>& more) {
  std::vector<std::string> all{"--node", node.unix_url, "--name", name, "--work-dir", work_dir};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

// Empty also where a process went away while it was read.
std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();  // Unlike an iterator it tells of a failed read in the stream's state.
  return std::move(text).str();
}

}  // namespace

Ran finish(Process& process) {
  Ran ran;
  {
    const std::jthread reader([&] { ran.err = process.log.rest(); });
    ran.out = process.out.rest();
  }
  ran.exit = process.wait();
  return ran;
}

Cli::Cli(const RunningNode& node, const std::vector<std::string>& arguments,
         const ProcessOptions& options)
    : Process("valkyrie", with_node(node, arguments), options) {}

Ran cli(const RunningNode& node, const std::vector<std::string>& arguments,
        const ProcessOptions& options) {
  Cli process(node, arguments, options);
  return finish(process);
}

Ran cli(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  ProcessOptions alone = options;
  alone.environment.emplace_back("VALKYRIE_NODE", "");
  Process process("valkyrie", arguments, alone);
  return finish(process);
}

Runner::Runner(const RunningNode& node, const std::string& name,
               const std::vector<std::string>& more, const ProcessOptions& options)
    : process("valkyrie-runner", runner_arguments(node, name, work_dir(), more), options),
      ready(process.out.find(" ready ").value_or("")) {}

Gate::Gate() : path_(scratch_.path() + "/gate") {
  VALKYRIE_ASSERT(::mkfifo(path_.c_str(), 0600) == 0);
  fd_ = Socket(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  VALKYRIE_ASSERT(bool(fd_));
}

void Gate::open() const { VALKYRIE_ASSERT(::write(fd_.fd(), "go\n", 3) == 3); }

std::string unique_mark() {
  static std::atomic<int> next{0};
  return fmt::format("valkyrie-e2e-{}-{}-mark", ::getpid(), next.fetch_add(1));
}

std::vector<pid_t> processes_with(std::string_view mark) {
  std::vector<pid_t> found;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec != std::errc() || *parsed.ptr != '\0' || pid == ::getpid()) continue;
    const bool has = content(entry.path() / "environ").find(mark) != std::string::npos ||
                     content(entry.path() / "cmdline").find(mark) != std::string::npos;
    if (has) found.push_back(pid);
  }
  return found;
}

bool wait_gone(std::string_view mark) {
  while (true) {
    const std::vector<pid_t> left = processes_with(mark);
    if (left.empty()) return true;
    const Socket process(static_cast<int>(::syscall(SYS_pidfd_open, left.front(), 0)));
    if (!process) continue;  // It went meanwhile.
    pollfd ended{.fd = process.fd(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, server::testing::kPatienceMs) <= 0) return false;
  }
}

std::size_t resident_bytes(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/statm", pid));
  std::size_t total = 0;
  std::size_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

::testing::AssertionResult says(std::string_view text, std::string_view part) {
  if (text.find(part) != std::string_view::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "no \"" << part << "\" in:\n" << text;
}

int input_of(std::string_view text) {
  const int fd = ::memfd_create("input", MFD_CLOEXEC);
  VALKYRIE_ASSERT(fd >= 0);
  VALKYRIE_ASSERT(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  VALKYRIE_ASSERT(::lseek(fd, 0, SEEK_SET) == 0);
  return fd;
}

std::string counted_lines(int last) {
  std::string text;
  for (int i = 1; i <= last; ++i) fmt::format_to(std::back_inserter(text), "{}\n", i);
  return text;
}

}  // namespace valkyrie::tests
