// The folder of one attempt.
#pragma once

#include <expected>
#include <filesystem>
#include <string>

namespace valkyrie::runner {

// Deletes a folder and all in it, folders without write permission too. False: something is left.
[[nodiscard]] bool remove_tree(const std::filesystem::path& root);

// A fresh folder with `work`, where the leader starts, and `tmp`. Removed by remove().
class Workspace {
 public:
  // Creates `parent`/`name`, empty. The error says what could not be done, and why.
  static std::expected<Workspace, std::string> create(const std::filesystem::path& parent,
                                                      const std::string& name);

  // Where the job runs, and its TMPDIR.
  [[nodiscard]] std::filesystem::path work() const { return root_ / "work"; }
  [[nodiscard]] std::filesystem::path tmp() const { return root_ / "tmp"; }

  // As remove_tree.
  [[nodiscard]] bool remove() const { return remove_tree(root_); }

 private:
  explicit Workspace(std::filesystem::path root) : root_(std::move(root)) {}

  std::filesystem::path root_;
};

}  // namespace valkyrie::runner
