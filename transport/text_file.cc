#include "transport/text_file.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "transport/socket.h"

namespace valkyrie::transport {
namespace {

// Permissions that no file of a secret has: write and execute of the group, all of others.
constexpr mode_t kTooWide = 0037;

std::unexpected<std::string> unreadable(const std::string& path) {
  return std::unexpected(fmt::format("{}: {}", path, std::generic_category().message(errno)));
}

std::expected<std::string, std::string> read_all(const std::string& path, int fd) {
  std::string text;
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return unreadable(path);
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (text.size() > kTextFileBytesMax) {
      return std::unexpected(
          fmt::format("{}: it is longer than {} bytes", path, kTextFileBytesMax));
    }
  }
}

std::expected<std::string, std::string> read_checked(const std::string& path, bool secret) {
  const Socket file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return unreadable(path);
  struct stat status{};
  if (::fstat(file.fd(), &status) != 0) return unreadable(path);
  if (secret && (status.st_mode & kTooWide) != 0) {
    return std::unexpected(fmt::format("{}: other users may read this secret; chmod 600 it", path));
  }
  return read_all(path, file.fd());
}

}  // namespace

std::expected<std::string, std::string> read_text_file(const std::string& path) {
  return read_checked(path, /*secret=*/false);
}

std::expected<std::string, std::string> read_secret_file(const std::string& path) {
  return read_checked(path, /*secret=*/true);
}

}  // namespace valkyrie::transport
