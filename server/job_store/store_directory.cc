#include "server/job_store/store_directory.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace valkyrie::job_store {
namespace {

using transport::Socket;

constexpr std::string_view kDonePrefix = "done-";
constexpr std::string_view kDoneSuffix = ".db";

std::string cause(int error) { return std::generic_category().message(error); }

std::unexpected<std::string> cannot_use(const std::string& path, std::string_view why) {
  return std::unexpected(fmt::format("cannot keep jobs in {}: {}", path, why));
}

// Makes the names in a folder durable. 0 or errno.
int sync_directory(const std::string& path) {
  const Socket folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.fd()) != 0) return errno;
  return 0;
}

std::string date_text(Day day) {
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(day))};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

template <class N>
bool read_number(std::string_view text, N& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// The day in `done-2026-11-24.db`.
std::optional<Day> day_of(std::string_view name) {
  if (!name.starts_with(kDonePrefix) || !name.ends_with(kDoneSuffix)) return std::nullopt;
  name.remove_prefix(kDonePrefix.size());
  name.remove_suffix(kDoneSuffix.size());
  unsigned year = 0;
  unsigned month = 0;
  unsigned day = 0;
  if (name.size() != 10 || name[4] != '-' || name[7] != '-' ||
      !read_number(name.substr(0, 4), year) || !read_number(name.substr(5, 2), month) ||
      !read_number(name.substr(8, 2), day)) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)),
                                         std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok() || year < 1970) return std::nullopt;
  return static_cast<Day>(std::chrono::sys_days(date).time_since_epoch().count());
}

}  // namespace

std::expected<StoreDirectory, std::string> StoreDirectory::take(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return cannot_use(path, cause(errno));
  const std::string lock_path = path + "/lock";
  Socket lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return cannot_use(path, cause(errno));
  if (::flock(lock.fd(), LOCK_EX | LOCK_NB) != 0) {
    return cannot_use(path, errno == EWOULDBLOCK ? "another node that runs uses it" : cause(errno));
  }
  return StoreDirectory(path, std::move(lock));
}

std::string StoreDirectory::live_file() const { return path_ + "/jobs.db"; }

std::string StoreDirectory::done_file(Day day) const {
  return fmt::format("{}/{}{}{}", path_, kDonePrefix, date_text(day), kDoneSuffix);
}

std::vector<Day> StoreDirectory::done_days() const {
  std::vector<Day> days;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path_, error)) {
    if (const auto day = day_of(entry.path().filename().string())) days.push_back(*day);
  }
  std::ranges::sort(days);
  return days;
}

void StoreDirectory::remove_done(Day day) const {
  const std::string file = done_file(day);
  // The journal first: without its file it could be taken for that of a new one.
  for (const std::string_view suffix : {"-journal", ""}) {
    ::unlink(fmt::format("{}{}", file, suffix).c_str());
  }
}

std::expected<void, std::string> StoreDirectory::keep_private(const std::string& file) const {
  // Its own descriptor would be a trap once SQLite has the file open: closing any of a process's
  // descriptors takes all its locks. So this comes before.
  bool made = false;
  {
    const Socket opened(::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    made = static_cast<bool>(opened);
    if (!made && errno != EEXIST) return cannot_use(file, cause(errno));
  }
  if (made) {
    if (const int error = sync_directory(path_); error != 0) return cannot_use(file, cause(error));
    return {};
  }
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) return cannot_use(file, cause(errno));
  if (!S_ISREG(status.st_mode)) return cannot_use(file, "it is not a file");
  if ((status.st_mode & 0077U) != 0 && ::chmod(file.c_str(), 0600) != 0) {
    return cannot_use(file, cause(errno));
  }
  return {};
}

}  // namespace valkyrie::job_store
