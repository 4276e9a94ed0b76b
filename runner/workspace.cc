#include "runner/workspace.h"

#include <fmt/format.h>
#include <system_error>
#include <utility>

namespace valkyrie::runner {
namespace fs = std::filesystem;

std::expected<Workspace, std::string> Workspace::create(const fs::path& parent,
                                                        const std::string& name) {
  Workspace workspace(parent / name);
  std::error_code error;
  fs::create_directories(parent, error);
  for (const fs::path& folder : {workspace.root_, workspace.work(), workspace.tmp()}) {
    if (!error && !fs::create_directory(folder, error) && !error) {
      error = std::make_error_code(std::errc::file_exists);
    }
    if (error) {
      return std::unexpected(
          fmt::format("cannot create workspace folder {}: {}", folder.string(), error.message()));
    }
  }
  fs::permissions(workspace.root_, fs::perms::owner_all, error);  // Others' jobs are not readable.
  return workspace;
}

bool remove_tree(const fs::path& root) {
  std::error_code error;
  fs::remove_all(root, error);
  if (!error) return true;
  // Tools such as Go's leave folders that even their owner may not change.
  for (fs::recursive_directory_iterator at(root, fs::directory_options::none, error), end;
       at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_directory(ignored) && !at->is_symlink(ignored)) {
      fs::permissions(at->path(), fs::perms::owner_all, fs::perm_options::add, ignored);
    }
    if (error) break;
  }
  error.clear();
  fs::remove_all(root, error);
  return !error;
}

}  // namespace valkyrie::runner
