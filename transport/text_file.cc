#include "transport/text_file.h"

#include <array>
#include <cerrno>
#include <cstdlib>
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

std::unexpected<std::string> unusable(const std::string& path) {
  return std::unexpected(fmt::format("{}: {}", path, std::generic_category().message(errno)));
}

std::expected<std::string, std::string> read_all(const std::string& path, int fd) {
  std::string text;
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return unusable(path);
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (text.size() > kTextFileBytesMax) {
      return std::unexpected(
          fmt::format("{}: it is longer than {} bytes", path, kTextFileBytesMax));
    }
  }
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

std::expected<std::string, std::string> read_checked(const std::string& path, bool secret) {
  const Socket file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return unusable(path);
  struct stat status{};
  if (::fstat(file.fd(), &status) != 0) return unusable(path);
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

std::expected<void, std::string> write_text_file(const std::string& path, std::string_view text,
                                                 FileAccess access, Existing existing) {
  std::string fresh = path + ".XXXXXX";
  Socket file(::mkostemp(fresh.data(), O_CLOEXEC));
  if (!file) return unusable(path);
  const auto give_up = [&] {
    auto error = unusable(path);
    ::unlink(fresh.c_str());
    return error;
  };
  if (!write_all(file.fd(), text)) return give_up();
  if (access == FileAccess::anyone && ::fchmod(file.fd(), 0644) != 0) {
    return give_up();
  }
  if (::fsync(file.fd()) != 0) return give_up();
  file.close();
  if (existing == Existing::kept) {
    // Fails where there is one, which a check before it could miss.
    if (::link(fresh.c_str(), path.c_str()) != 0) return give_up();
    ::unlink(fresh.c_str());
  } else if (::rename(fresh.c_str(), path.c_str()) != 0) {
    return give_up();
  }
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Socket parent(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent || ::fsync(parent.fd()) != 0) return unusable(path);
  return {};
}

}  // namespace valkyrie::transport
