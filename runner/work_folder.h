// The folder under which a runner's attempts get theirs, held by one runner at a time.
#pragma once

#include <expected>
#include <filesystem>
#include <string>

namespace valkyrie::runner {

// Held from open() to its end; the lock goes with the process, however that ends.
class WorkFolder {
 public:
  // Creates the folder where needed, takes it, and removes what attempts of an earlier runner left.
  // The error says what is wrong and what to do.
  static std::expected<WorkFolder, std::string> open(const std::filesystem::path& path);
  WorkFolder(WorkFolder&& other) noexcept;
  WorkFolder& operator=(WorkFolder&&) = delete;
  ~WorkFolder();

 private:
  explicit WorkFolder(int lock) : lock_(lock) {}

  int lock_;
};

}  // namespace valkyrie::runner
