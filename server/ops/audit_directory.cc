#include "server/ops/audit_directory.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "transport/socket.h"

namespace valkyrie::server {
namespace {

using transport::Socket;

constexpr std::string_view kPrefix = "audit-";
constexpr std::string_view kSuffix = ".jsonl";

std::error_code last_error() { return {errno, std::generic_category()}; }

// The number in "audit-000001.jsonl"; 0 if the name is another.
std::uint64_t number_of(std::string_view name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return 0;
  name.remove_prefix(kPrefix.size());
  name.remove_suffix(kSuffix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() ? number : 0;
}

class DiskFile final : public AuditFile {
 public:
  explicit DiskFile(Socket file) : file_(std::move(file)) {}

  std::error_code append(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t count = ::write(file_.fd(), bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return last_error();
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
  }
  std::error_code truncate(std::uint64_t size) override {
    if (::ftruncate(file_.fd(), static_cast<off_t>(size)) != 0) return last_error();
    return {};
  }
  std::error_code sync() override {
    if (::fdatasync(file_.fd()) != 0) return last_error();
    return {};
  }

 private:
  const Socket file_;  // Opened to append.
};

class DiskDirectory final : public AuditDirectory {
 public:
  explicit DiskDirectory(std::string path) : path_(std::move(path)) {}

  std::expected<std::vector<std::uint64_t>, std::error_code> list() override {
    if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) return std::unexpected(last_error());
    std::error_code error;
    std::vector<std::uint64_t> numbers;
    for (std::filesystem::directory_iterator each(path_, error), end; !error && each != end;
         each.increment(error)) {
      const std::uint64_t number = number_of(each->path().filename().string());
      if (number != 0) numbers.push_back(number);
    }
    if (error) return std::unexpected(error);
    std::ranges::sort(numbers);
    return numbers;
  }

  std::expected<std::string, std::error_code> read(std::uint64_t file) override {
    const Socket opened(::open(path(file).c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened) return std::unexpected(last_error());
    std::string text;
    std::array<char, 1U << 16U> buffer{};
    while (true) {
      const ssize_t count = ::read(opened.fd(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return std::unexpected(last_error());
      if (count == 0) return text;
      text.append(buffer.data(), static_cast<std::size_t>(count));
    }
  }

  std::expected<std::shared_ptr<AuditFile>, std::error_code> open(std::uint64_t file) override {
    Socket opened(::open(path(file).c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (!opened) return std::unexpected(last_error());
    // Its name has to outlive a crash of the machine as well.
    const Socket parent(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!parent || ::fsync(parent.fd()) != 0) return std::unexpected(last_error());
    return std::make_shared<DiskFile>(std::move(opened));
  }

  std::string path(std::uint64_t file) const override {
    return fmt::format("{}/{}{:06}{}", path_, kPrefix, file, kSuffix);
  }

 private:
  const std::string path_;
};

}  // namespace

std::unique_ptr<AuditDirectory> disk_audit_directory(std::string path) {
  return std::make_unique<DiskDirectory>(std::move(path));
}

}  // namespace valkyrie::server
