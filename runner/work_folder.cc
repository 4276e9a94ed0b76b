#include "runner/work_folder.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include "runner/workspace.h"

namespace valkyrie::runner {
namespace fs = std::filesystem;

std::expected<WorkFolder, std::string> WorkFolder::open(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  const fs::path lock_path = path / "lock";
  const int lock = error ? -1 : ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) {
    return std::unexpected(fmt::format("cannot use work folder {}: {}; choose another --work-dir",
                                       path.string(),
                                       error ? error.message() : std::strerror(errno)));
  }
  WorkFolder folder(lock);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return std::unexpected(fmt::format(
        "work folder {} is in use by another runner; choose another --work-dir", path.string()));
  }
  std::vector<fs::path> left;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    if (at->path().filename().string().starts_with("job_")) left.push_back(at->path());
  }
  for (const fs::path& workspace : left) (void)remove_tree(workspace);
  return folder;
}

WorkFolder::WorkFolder(WorkFolder&& other) noexcept : lock_(std::exchange(other.lock_, -1)) {}

WorkFolder::~WorkFolder() {
  if (lock_ >= 0) close(lock_);
}

}  // namespace valkyrie::runner
