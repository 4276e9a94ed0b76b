#include "server/ops/testing/server_process.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/assert.h"

namespace valkyrie::server::testing {
namespace {

using transport::Socket;

std::string path_of(const std::string& program) {
  if (program.starts_with('/')) return program;
  const char* const build = std::getenv("VALKYRIE_BUILD_DIR");
  return (build == nullptr ? std::string(".") : std::string(build)) + "/bin/" + program;
}

std::pair<Socket, Socket> make_pipe() {
  std::array<int, 2> ends{};
  VALKYRIE_ASSERT(::pipe2(ends.data(), O_CLOEXEC) == 0);
  return {Socket(ends[0]), Socket(ends[1])};
}

// In the child, between fork and exec.
[[noreturn]] void run_program(char* const* arguments, int out, int log,
                              const ProcessOptions& options) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (options.in_fd >= 0) ::dup2(options.in_fd, STDIN_FILENO);
  ::dup2(options.out_fd >= 0 ? options.out_fd : out, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  if (options.keep_fd >= 0) ::dup2(options.keep_fd, 3);
  for (const auto& [name, value] : options.environment) {
    if (value.empty()) {
      ::unsetenv(name.c_str());
    } else {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  if (options.files_max != 0) {
    const rlimit limit{.rlim_cur = options.files_max, .rlim_max = options.files_max};
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  ::execv(arguments[0], arguments);
  ::_exit(127);
}

}  // namespace

bool is_sanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#elif defined(__has_feature)
  return __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
  return false;
#endif
}

bool LineReader::fill() {
  pollfd ready{.fd = pipe_.fd(), .events = POLLIN, .revents = 0};
  if (!pipe_ || ::poll(&ready, 1, kPatienceMs) <= 0) return false;
  std::array<char, 4096> buffer{};
  const ssize_t count = ::read(pipe_.fd(), buffer.data(), buffer.size());
  if (count <= 0) return false;
  pending_.append(buffer.data(), static_cast<std::size_t>(count));
  return true;
}

std::optional<std::string> LineReader::next() {
  while (true) {
    const std::size_t end = pending_.find('\n');
    if (end != std::string::npos) {
      std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return line;
    }
    if (!fill()) return std::nullopt;
  }
}

std::optional<std::string> LineReader::find(std::string_view text) {
  while (auto line = next()) {
    if (line->find(text) != std::string::npos) return line;
  }
  return std::nullopt;
}

std::string LineReader::rest() {
  while (fill()) {
  }
  return std::exchange(pending_, {});
}

Process::Process(const std::string& program, const std::vector<std::string>& arguments,
                 const ProcessOptions& options) {
  std::vector<std::string> texts{path_of(program)};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  auto [out_read, out_write] = make_pipe();
  auto [log_read, log_write] = make_pipe();
  pid_ = ::fork();
  VALKYRIE_ASSERT(pid_ >= 0);
  if (pid_ == 0) run_program(pointers.data(), out_write.fd(), log_write.fd(), options);
  out = LineReader(std::move(out_read));
  log = LineReader(std::move(log_read));
}

Process::~Process() {
  if (pid_ < 0) return;
  signal(SIGKILL);
  static_cast<void>(wait());
}

void Process::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

int Process::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

ServerProcess::ServerProcess(const std::vector<std::string>& arguments,
                             const ProcessOptions& options)
    : Process("valkyrie-server", arguments, options) {}

std::string ServerProcess::wait_doors() { return out.find("\"doors\"").value_or(""); }

namespace {

std::string abstract_url() {
  static std::atomic<int> next{0};
  return fmt::format("unix:@valkyrie-test-{}-{}", ::getpid(), next.fetch_add(1));
}

std::vector<std::string> node_arguments(const std::string& unix_url,
                                        const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"--ephemeral", "--print-doors", "--listen",
                                     unix_url,      "--listen",      "valkyrie://127.0.0.1:0"};
  if (std::ranges::find(more, "--shards") == more.end()) {
    arguments.insert(arguments.end(), {"--shards", "1"});
  }
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

RunningNode::RunningNode(const std::vector<std::string>& more, const ProcessOptions& options)
    : RunningNode(abstract_url(), more, options) {}

RunningNode::RunningNode(std::string unix_address, const std::vector<std::string>& more,
                         const ProcessOptions& options)
    : process(node_arguments(unix_address, more), options),
      doors(process.wait_doors()),
      unix_url(std::move(unix_address)),
      tcp_url(json_text(doors, "url", unix_url + "\"")) {}

std::string json_text(std::string_view json, std::string_view member, std::string_view from) {
  const std::size_t start = from.empty() ? 0 : json.find(from);
  if (start == std::string_view::npos) return {};
  const std::string key = fmt::format("\"{}\":\"", member);
  const std::size_t at = json.find(key, start);
  if (at == std::string_view::npos) return {};
  const std::size_t begin = at + key.size();
  return std::string(json.substr(begin, json.find('"', begin) - begin));
}

ScratchDirectory::ScratchDirectory() {
  std::string path = std::filesystem::temp_directory_path().string() + "/valkyrie-test-XXXXXX";
  VALKYRIE_ASSERT(::mkdtemp(path.data()) != nullptr);
  path_ = path;
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace valkyrie::server::testing
