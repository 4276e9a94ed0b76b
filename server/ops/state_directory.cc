#include "server/ops/state_directory.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "transport/text_file.h"

namespace valkyrie::server {
namespace {

using transport::Socket;

constexpr std::string_view kFormat = "valkyrie-node 1";

std::string cause(int error) { return std::generic_category().message(error); }

std::unexpected<std::string> cannot_use(const std::string& path, std::string_view why) {
  return std::unexpected(
      fmt::format("cannot keep state in {}: {}; choose another directory with --state DIR, or "
                  "--ephemeral to keep nothing",
                  path, why));
}

std::string new_id(const RandomSource& random) {
  return fmt::format("n-{:08x}", static_cast<std::uint32_t>(random()));
}

// "valkyrie-node 1\nn-7f3a09c2\n17\n"
std::string state_text(const NodeState& state) {
  return fmt::format("{}\n{}\n{}\n", kFormat, state.id, state.starts);
}

bool is_node_id(std::string_view id) {
  if (!id.starts_with("n-") || id.size() != 10) return false;
  return id.substr(2).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::optional<NodeState> parse_state(std::string_view text) {
  std::array<std::string_view, 3> lines;
  for (std::string_view& line : lines) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    line = text.substr(0, end);
    text.remove_prefix(end + 1);
  }
  NodeState state{.id = std::string(lines[1])};
  const char* const last = lines[2].data() + lines[2].size();
  const auto [end, error] = std::from_chars(lines[2].data(), last, state.starts);
  if (lines[0] != kFormat || !is_node_id(lines[1]) || error != std::errc() || end != last) {
    return std::nullopt;
  }
  return state;
}

// The text of a small file; an empty one if it does not exist.
std::expected<std::string, int> read_file(const std::string& path) {
  const Socket file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT) return std::string();
    return std::unexpected(errno);
  }
  std::string text;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t count = ::read(file.fd(), buffer.data(), buffer.size());
    if (count < 0) return std::unexpected(errno);
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

std::expected<void, std::string> replace_file(const std::string& path, std::string_view text) {
  return transport::write_text_file(path, text, transport::FileAccess::owner,
                                    transport::Existing::replaced);
}

}  // namespace

NodeState ephemeral_state(const RandomSource& random) { return {.id = new_id(random)}; }

std::expected<NodeState, std::string> open_state(const std::string& directory,
                                                 const RandomSource& random) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return cannot_use(directory, error.message());
  const std::string lock_path = directory + "/lock";
  Socket lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return cannot_use(directory, cause(errno));
  if (::flock(lock.fd(), LOCK_EX | LOCK_NB) != 0) {
    return cannot_use(directory,
                      errno == EWOULDBLOCK ? "another node that runs uses it" : cause(errno));
  }
  const std::string path = directory + "/node";
  const auto text = read_file(path);
  if (!text) return cannot_use(directory, cause(text.error()));
  NodeState state;
  if (text->empty()) {
    state = ephemeral_state(random);
  } else {
    auto parsed = parse_state(*text);
    if (!parsed) {
      return cannot_use(
          directory, fmt::format("{} is damaged (move it away and the node gets a new id)", path));
    }
    state = std::move(*parsed);
    ++state.starts;
  }
  if (const auto written = replace_file(path, state_text(state)); !written) {
    return cannot_use(directory, written.error());
  }
  state.lock = std::move(lock);
  return state;
}

std::expected<std::string, std::string> keep_secret(const std::string& directory,
                                                    std::string_view name,
                                                    const std::function<std::string()>& fresh) {
  const std::string path = fmt::format("{}/{}", directory, name);
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0 && (status.st_mode & 0077U) != 0) {
    return std::unexpected(
        fmt::format("{} is a secret that other users may read; take it from them (chmod 600), or "
                    "move it away if they may have read it: the node makes another",
                    path));
  }
  auto text = read_file(path);
  if (!text) return cannot_use(directory, cause(text.error()));
  if (!text->empty()) {
    if (text->ends_with('\n')) text->pop_back();
    return *text;
  }
  const std::string made = fresh();
  if (const auto written = replace_file(path, made + "\n"); !written) {
    return cannot_use(directory, written.error());
  }
  return made;
}

std::expected<std::string, std::string> read_state(const std::string& directory,
                                                   std::string_view name) {
  const std::string path = fmt::format("{}/{}", directory, name);
  auto text = read_file(path);
  if (!text) return std::unexpected(fmt::format("{}: {}", path, cause(text.error())));
  return std::move(*text);
}

std::expected<void, std::string> write_state(const std::string& directory, std::string_view name,
                                             std::string_view text) {
  return replace_file(fmt::format("{}/{}", directory, name), text);
}

std::expected<void, std::string> secure_directory(const std::string& directory) {
  const auto refuse = [&](std::string_view why) {
    return std::unexpected(fmt::format(
        "cannot make a socket in {}: {}; choose another place with --listen unix:///PATH",
        directory, why));
  };
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return refuse(cause(errno));
  struct stat status{};
  if (::lstat(directory.c_str(), &status) != 0) return refuse(cause(errno));
  if (!S_ISDIR(status.st_mode)) return refuse("it is not a directory");
  if (status.st_uid != ::geteuid()) return refuse("it belongs to another user");
  if ((status.st_mode & 0077U) != 0) return refuse("other users may enter it");
  return {};
}

}  // namespace valkyrie::server
