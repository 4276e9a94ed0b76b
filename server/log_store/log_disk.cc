#include "server/log_store/log_disk.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

#include "transport/socket.h"

namespace valkyrie::log_store {
namespace {

using transport::Socket;

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
// O_NONBLOCK: a FIFO that somebody put there must not hold us.
constexpr int kFileFlags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
// Pieces of one write; the kernel takes 1,024.
constexpr std::size_t kPiecesMax = 64;

std::error_code last_error() { return {errno, std::generic_category()}; }

std::uint64_t bytes_of(const struct stat& status) {
  return static_cast<std::uint64_t>(status.st_size);
}

class SystemFile final : public LogFile {
 public:
  explicit SystemFile(Socket file) : file_(std::move(file)) {}

  std::expected<std::size_t, std::error_code> write(
      std::uint64_t offset, std::span<const std::string_view> pieces) override {
    std::array<iovec, kPiecesMax> parts{};
    const std::size_t count = std::min(pieces.size(), parts.size());
    for (std::size_t i = 0; i < count; ++i) {
      parts[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
    }
    while (true) {
      const ssize_t done =
          ::pwritev(file_.fd(), parts.data(), static_cast<int>(count), static_cast<off_t>(offset));
      if (done > 0) return static_cast<std::size_t>(done);
      if (done == 0) return std::unexpected(std::make_error_code(std::errc::no_space_on_device));
      if (errno != EINTR) return std::unexpected(last_error());
    }
  }
  std::expected<std::size_t, std::error_code> read(std::uint64_t offset,
                                                   std::span<char> into) override {
    while (true) {
      const ssize_t done =
          ::pread(file_.fd(), into.data(), into.size(), static_cast<off_t>(offset));
      if (done >= 0) return static_cast<std::size_t>(done);
      if (errno != EINTR) return std::unexpected(last_error());
    }
  }
  std::error_code truncate(std::uint64_t size) override {
    if (::ftruncate(file_.fd(), static_cast<off_t>(size)) != 0) return last_error();
    return {};
  }
  std::error_code sync() override {
    if (::fdatasync(file_.fd()) != 0) return last_error();
    return {};
  }
  void begin_sync() override {
    static_cast<void>(::sync_file_range(file_.fd(), 0, 0, SYNC_FILE_RANGE_WRITE));
  }
  std::expected<std::uint64_t, std::error_code> size() override {
    struct stat status{};
    if (::fstat(file_.fd(), &status) != 0) return std::unexpected(last_error());
    return bytes_of(status);
  }

 private:
  const Socket file_;
};

// Names of a directory, without those that begin with a dot.
std::expected<std::vector<std::string>, std::error_code> names_in(int directory) {
  DIR* const stream = ::fdopendir(directory);
  if (stream == nullptr) {
    const auto error = last_error();
    ::close(directory);
    return std::unexpected(error);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* const entry = ::readdir(stream)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    errno = 0;
  }
  const auto error = last_error();
  ::closedir(stream);
  if (error) return std::unexpected(error);
  return names;
}

class SystemDisk final : public LogDisk {
 public:
  explicit SystemDisk(Socket root) : root_(std::move(root)) {}

  std::error_code make_folder(const std::string& folder) override {
    if (::mkdirat(root_.fd(), folder.c_str(), 0700) != 0 && errno != EEXIST) return last_error();
    return {};
  }
  std::expected<std::unique_ptr<LogFile>, std::error_code> open(const std::string& folder,
                                                                const std::string& name,
                                                                Access access) override {
    const Socket parent = open_folder(folder);
    if (!parent) return std::unexpected(last_error());
    const int how = access == Access::read ? O_RDONLY : O_RDWR | O_CREAT;
    Socket file(::openat(parent.fd(), name.c_str(), how | kFileFlags, 0600));
    struct stat status{};
    if (!file || ::fstat(file.fd(), &status) != 0) return std::unexpected(last_error());
    if (!S_ISREG(status.st_mode)) {
      return std::unexpected(std::make_error_code(std::errc::invalid_argument));
    }
    return std::make_unique<SystemFile>(std::move(file));
  }
  std::expected<std::uint64_t, std::error_code> size(const std::string& folder,
                                                     const std::string& name) override {
    const Socket parent = open_folder(folder);
    struct stat status{};
    if (!parent || ::fstatat(parent.fd(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return std::unexpected(last_error());
    }
    if (!S_ISREG(status.st_mode)) {
      return std::unexpected(std::make_error_code(std::errc::invalid_argument));
    }
    return bytes_of(status);
  }
  std::error_code remove(const std::string& folder, const std::string& name) override {
    const Socket parent = open_folder(folder);
    if (parent && ::unlinkat(parent.fd(), name.c_str(), 0) == 0) return {};
    return errno == ENOENT ? std::error_code() : last_error();
  }
  std::error_code sync_folder(const std::string& folder) override {
    const Socket opened = folder.empty() ? open_folder(".") : open_folder(folder);
    if (!opened || ::fsync(opened.fd()) != 0) return last_error();
    return {};
  }
  std::expected<std::vector<std::string>, std::error_code> folders() override {
    const int opened = ::openat(root_.fd(), ".", kFolderFlags);
    if (opened < 0) return std::unexpected(last_error());
    return names_in(opened);
  }
  std::expected<std::vector<StoredFile>, std::error_code> files(
      const std::string& folder) override {
    const int opened = ::openat(root_.fd(), folder.c_str(), kFolderFlags);
    if (opened < 0) return std::unexpected(last_error());
    const Socket parent(::dup(opened));
    auto names = names_in(opened);
    if (!names) return std::unexpected(names.error());
    std::vector<StoredFile> files;
    for (std::string& name : *names) {
      struct stat status{};
      if (::fstatat(parent.fd(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (!S_ISREG(status.st_mode)) continue;
      const auto ms = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1000 +
                      static_cast<std::uint64_t>(status.st_mtim.tv_nsec) / 1'000'000;
      files.push_back({.name = std::move(name), .bytes = bytes_of(status), .changed_ms = ms});
    }
    return files;
  }

 private:
  [[nodiscard]] Socket open_folder(const std::string& folder) const {
    return Socket(::openat(root_.fd(), folder.c_str(), kFolderFlags));
  }

  const Socket root_;
};

}  // namespace

std::expected<std::unique_ptr<LogDisk>, std::string> open_log_disk(const std::string& directory) {
  const auto refuse = [&](std::string_view why) {
    return std::unexpected(fmt::format("cannot keep logs in {}: {}", directory, why));
  };
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return refuse(last_error().message());
  }
  Socket root(::open(directory.c_str(), kFolderFlags));
  if (!root && (errno == ELOOP || errno == ENOTDIR)) {
    return refuse("it is a symbolic link or no directory");
  }
  struct stat status{};
  if (!root || ::fstat(root.fd(), &status) != 0) return refuse(last_error().message());
  if (status.st_uid != ::geteuid()) return refuse("it belongs to another user");
  if ((status.st_mode & 0022U) != 0) return refuse("other users may write to it (chmod 700)");
  if (::flock(root.fd(), LOCK_EX | LOCK_NB) != 0) {
    return refuse(errno == EWOULDBLOCK ? "another process uses it" : last_error().message());
  }
  return std::make_unique<SystemDisk>(std::move(root));
}

}  // namespace valkyrie::log_store
