#include "server/log_store/testing/virtual_log_disk.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace valkyrie::log_store::testing {
namespace {

std::error_code missing() { return std::make_error_code(std::errc::no_such_file_or_directory); }

}  // namespace

class VirtualFile final : public LogFile {
 public:
  VirtualFile(VirtualLogDisk& disk, std::string name, std::shared_ptr<VirtualLogDisk::File> file)
      : disk_(disk), name_(std::move(name)), file_(std::move(file)) {
    disk_.open_high_ = std::max(disk_.open_high_, ++disk_.open_);
  }
  ~VirtualFile() override {
    const std::lock_guard lock(disk_.mutex_);
    --disk_.open_;
  }

  std::expected<std::size_t, std::error_code> write(
      std::uint64_t offset, std::span<const std::string_view> pieces) override {
    const std::lock_guard lock(disk_.mutex_);
    if (const auto error = disk_.fault(DiskCall::write, name_)) return std::unexpected(error);
    std::string bytes;
    for (const std::string_view piece : pieces) bytes += piece;
    bytes.resize(std::min(bytes.size(), disk_.write_max_));
    if (disk_.room_) {
      const std::uint64_t grown = std::max<std::uint64_t>(file_->bytes.size(), offset);
      const std::uint64_t taken = std::min(offset + bytes.size(), grown + *disk_.room_) - offset;
      if (taken == 0) return std::unexpected(make_error_code(std::errc::no_space_on_device));
      bytes.resize(taken);
      *disk_.room_ -= std::max(offset + taken, grown) - grown;
    }
    if (file_->bytes.size() < offset + bytes.size()) file_->bytes.resize(offset + bytes.size());
    std::memcpy(file_->bytes.data() + offset, bytes.data(), bytes.size());
    return bytes.size();
  }
  std::expected<std::size_t, std::error_code> read(std::uint64_t offset,
                                                   std::span<char> into) override {
    const std::lock_guard lock(disk_.mutex_);
    if (const auto error = disk_.fault(DiskCall::read, name_)) return std::unexpected(error);
    if (offset >= file_->bytes.size()) return 0;
    return file_->bytes.copy(into.data(), into.size(), offset);
  }
  std::error_code truncate(std::uint64_t size) override {
    const std::lock_guard lock(disk_.mutex_);
    if (const auto error = disk_.fault(DiskCall::truncate, name_)) return error;
    file_->bytes.resize(size);
    return {};
  }
  std::error_code sync() override {
    const std::lock_guard lock(disk_.mutex_);
    if (const auto error = disk_.fault(DiskCall::sync, name_)) return error;
    file_->synced = file_->bytes;
    ++disk_.syncs_;
    return {};
  }
  void begin_sync() override {}
  std::expected<std::uint64_t, std::error_code> size() override {
    const std::lock_guard lock(disk_.mutex_);
    return file_->bytes.size();
  }

 private:
  VirtualLogDisk& disk_;
  const std::string name_;
  const std::shared_ptr<VirtualLogDisk::File> file_;
};

class VirtualDisk final : public LogDisk {
 public:
  explicit VirtualDisk(VirtualLogDisk& disk) : disk_(disk) {}

  std::error_code make_folder(const std::string& folder) override {
    const std::lock_guard lock(disk_.mutex_);
    if (const auto error = disk_.fault(DiskCall::other, folder)) return error;
    disk_.folders_.try_emplace(folder, false);
    return {};
  }
  std::expected<std::unique_ptr<LogFile>, std::error_code> open(const std::string& folder,
                                                                const std::string& name,
                                                                Access access) override {
    const std::lock_guard lock(disk_.mutex_);
    if (const auto error = disk_.fault(DiskCall::open, name)) return std::unexpected(error);
    if (!disk_.folders_.contains(folder)) return std::unexpected(missing());
    auto found = disk_.files_.find({folder, name});
    if (found == disk_.files_.end()) {
      if (access == Access::read) return std::unexpected(missing());
      const VirtualLogDisk::Key key(folder, name);
      found = disk_.files_.emplace(key, std::make_shared<VirtualLogDisk::File>()).first;
    }
    return std::make_unique<VirtualFile>(disk_, name, found->second);
  }
  std::expected<std::uint64_t, std::error_code> size(const std::string& folder,
                                                     const std::string& name) override {
    const std::lock_guard lock(disk_.mutex_);
    const auto found = disk_.files_.find({folder, name});
    if (found == disk_.files_.end()) return std::unexpected(missing());
    return found->second->bytes.size();
  }
  std::error_code remove(const std::string& folder, const std::string& name) override {
    const std::lock_guard lock(disk_.mutex_);
    if (const auto error = disk_.fault(DiskCall::other, name)) return error;
    disk_.files_.erase({folder, name});
    return {};
  }
  std::error_code sync_folder(const std::string& folder) override {
    const std::lock_guard lock(disk_.mutex_);
    if (const auto error = disk_.fault(DiskCall::sync, folder)) return error;
    for (auto& [key, file] : disk_.files_) {
      if (key.first == folder) file->name_synced = true;
    }
    if (folder.empty()) {
      for (auto& [name, synced] : disk_.folders_) synced = true;
    }
    return {};
  }
  std::expected<std::vector<std::string>, std::error_code> folders() override {
    const std::lock_guard lock(disk_.mutex_);
    if (const auto error = disk_.fault(DiskCall::other, "")) return std::unexpected(error);
    std::vector<std::string> names;
    for (const auto& [name, synced] : disk_.folders_) names.push_back(name);
    return names;
  }
  std::expected<std::vector<StoredFile>, std::error_code> files(
      const std::string& folder) override {
    const std::lock_guard lock(disk_.mutex_);
    std::vector<StoredFile> files;
    for (const auto& [key, file] : disk_.files_) {
      if (key.first != folder) continue;
      files.push_back({key.second, file->bytes.size(), file->changed_ms});
    }
    return files;
  }

 private:
  VirtualLogDisk& disk_;
};

std::unique_ptr<LogDisk> VirtualLogDisk::disk() { return std::make_unique<VirtualDisk>(*this); }

void VirtualLogDisk::crash(std::mt19937_64& random) {
  const std::lock_guard lock(mutex_);
  const auto flip = [&random] { return random() % 2 == 0; };
  std::erase_if(folders_, [&](const auto& folder) { return !folder.second && flip(); });
  std::erase_if(files_, [&](const auto& file) {
    return !folders_.contains(file.first.first) || (!file.second->name_synced && flip());
  });
  for (auto& [key, file] : files_) {
    // Nothing that was synced is ever written again, or cut, but a torn end of an index.
    const std::size_t common = std::min(file->synced.size(), file->bytes.size());
    const std::size_t kept = common + random() % (file->bytes.size() - common + 1);
    file->bytes.resize(kept);
    if (key.second.ends_with(".index") && flip()) {
      for (std::size_t i = common; i < kept; ++i) {
        if (random() % 16 == 0) file->bytes[i] = '\0';
      }
    }
    file->synced = file->bytes;
  }
}

std::string VirtualLogDisk::contents(const std::string& folder, const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find({folder, name});
  return found == files_.end() ? "" : found->second->bytes;
}

bool VirtualLogDisk::exists(const std::string& folder, const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return files_.contains({folder, name});
}

void VirtualLogDisk::replace(const std::string& folder, const std::string& name,
                             std::string contents) {
  const std::lock_guard lock(mutex_);
  folders_[folder] = true;
  auto& file = files_[{folder, name}];
  if (!file) file = std::make_shared<File>();
  file->synced = contents;
  file->bytes = std::move(contents);
  file->name_synced = true;
}

void VirtualLogDisk::set_changed(const std::string& folder, const std::string& name,
                                 std::uint64_t unix_ms) {
  const std::lock_guard lock(mutex_);
  files_.at({folder, name})->changed_ms = unix_ms;
}

void VirtualLogDisk::set_room(std::optional<std::uint64_t> bytes) {
  const std::lock_guard lock(mutex_);
  room_ = bytes;
}

void VirtualLogDisk::set_write_max(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  write_max_ = bytes;
}

void VirtualLogDisk::set_fault(std::function<std::error_code(DiskCall, std::string_view)> fault) {
  const std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
}

std::size_t VirtualLogDisk::open_files() const {
  const std::lock_guard lock(mutex_);
  return open_;
}

std::size_t VirtualLogDisk::open_files_high() const {
  const std::lock_guard lock(mutex_);
  return open_high_;
}

std::uint64_t VirtualLogDisk::syncs() const {
  const std::lock_guard lock(mutex_);
  return syncs_;
}

std::error_code VirtualLogDisk::fault(DiskCall call, std::string_view name) const {
  return fault_ ? fault_(call, name) : std::error_code();
}

}  // namespace valkyrie::log_store::testing
