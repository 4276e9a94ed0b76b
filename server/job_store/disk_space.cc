#include "server/job_store/disk_space.h"

#include <cerrno>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <system_error>

namespace valkyrie::job_store {

std::expected<DiskSpace, std::string> disk_space(const std::string& directory) {
  struct statvfs status{};
  if (::statvfs(directory.c_str(), &status) != 0) {
    return std::unexpected(fmt::format("cannot see what the disk of {} has free: {}", directory,
                                       std::generic_category().message(errno)));
  }
  return DiskSpace{.free = std::uint64_t{status.f_bavail} * status.f_frsize,
                   .total = std::uint64_t{status.f_blocks} * status.f_frsize};
}

}  // namespace valkyrie::job_store
