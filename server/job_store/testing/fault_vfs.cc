#include "server/job_store/testing/fault_vfs.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <utility>

#include <sqlite3.h>

#include "protocol/assert.h"

namespace valkyrie::job_store::testing {
namespace {

// What SQLite keeps of an open file: ours first, the real one behind it.
struct FaultFile {
  sqlite3_file base;
  FaultVfs* faults;
  std::string* path;  // nullptr: a file of no name, such as one that sorts.
  sqlite3_file* real;
};

FaultFile* ours(sqlite3_file* file) { return reinterpret_cast<FaultFile*>(file); }
sqlite3_file* real(sqlite3_file* file) { return ours(file)->real; }
const sqlite3_io_methods* methods(sqlite3_file* file) { return real(file)->pMethods; }

sqlite3_vfs* real_vfs() { return sqlite3_vfs_find("unix"); }
FaultVfs* faults_of(sqlite3_vfs* vfs) { return static_cast<FaultVfs*>(vfs->pAppData); }

int close_file(sqlite3_file* file) {
  const int result = methods(file)->xClose(real(file));
  delete ours(file)->path;
  return result;
}

int read_file(sqlite3_file* file, void* to, int size, sqlite3_int64 at) {
  return methods(file)->xRead(real(file), to, size, at);
}

std::uint64_t size_of(sqlite3_file* file) {
  sqlite3_int64 size = 0;
  methods(file)->xFileSize(real(file), &size);
  return static_cast<std::uint64_t>(size);
}

int write_file(sqlite3_file* file, const void* from, int size, sqlite3_int64 at) {
  if (ours(file)->path != nullptr) {
    FaultVfs::Change change{
        .offset = static_cast<std::uint64_t>(at),
        .data = std::string(static_cast<const char*>(from), static_cast<std::size_t>(size))};
    const auto fault =
        ours(file)->faults->changing(*ours(file)->path, std::move(change), size_of(file));
    if (fault) return *fault;
  }
  return methods(file)->xWrite(real(file), from, size, at);
}

int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  if (ours(file)->path != nullptr) {
    FaultVfs::Change change{.kind = FaultVfs::Change::Kind::truncate,
                            .offset = static_cast<std::uint64_t>(size)};
    const auto fault =
        ours(file)->faults->changing(*ours(file)->path, std::move(change), size_of(file));
    if (fault) return *fault;
  }
  return methods(file)->xTruncate(real(file), size);
}

int sync_file(sqlite3_file* file, int flags) {
  if (ours(file)->path != nullptr) {
    if (const auto fault = ours(file)->faults->syncing(*ours(file)->path)) return *fault;
  }
  // The disk is the record: a real sync would only cost time.
  static_cast<void>(flags);
  return SQLITE_OK;
}

constexpr sqlite3_io_methods kMethods{
    .iVersion = 2,  // No memory maps: every byte passes here.
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = [](sqlite3_file* file,
                    sqlite3_int64* size) { return methods(file)->xFileSize(real(file), size); },
    .xLock = [](sqlite3_file* file, int level) { return methods(file)->xLock(real(file), level); },
    .xUnlock = [](sqlite3_file* file,
                  int level) { return methods(file)->xUnlock(real(file), level); },
    .xCheckReservedLock =
        [](sqlite3_file* file, int* out) {
          return methods(file)->xCheckReservedLock(real(file), out);
        },
    .xFileControl = [](sqlite3_file* file, int op,
                       void* arg) { return methods(file)->xFileControl(real(file), op, arg); },
    .xSectorSize = [](sqlite3_file* file) { return methods(file)->xSectorSize(real(file)); },
    .xDeviceCharacteristics =
        [](sqlite3_file* file) { return methods(file)->xDeviceCharacteristics(real(file)); },
    .xShmMap =
        [](sqlite3_file* file, int page, int size, int extend, void volatile** out) {
          return methods(file)->xShmMap(real(file), page, size, extend, out);
        },
    .xShmLock = [](sqlite3_file* file, int offset, int count,
                   int flags) { return methods(file)->xShmLock(real(file), offset, count, flags); },
    .xShmBarrier = [](sqlite3_file* file) { methods(file)->xShmBarrier(real(file)); },
    .xShmUnmap = [](sqlite3_file* file,
                    int remove) { return methods(file)->xShmUnmap(real(file), remove); },
};

int open_file(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* flags_out) {
  FaultFile* const fault = ours(file);
  fault->base.pMethods = nullptr;
  fault->real = reinterpret_cast<sqlite3_file*>(fault + 1);
  fault->faults = faults_of(vfs);
  const bool existed = name != nullptr && std::filesystem::exists(name);
  const int result = real_vfs()->xOpen(real_vfs(), name, fault->real, flags, flags_out);
  if (result != SQLITE_OK) return result;
  fault->path = name == nullptr ? nullptr : new std::string(name);
  if (fault->path != nullptr) fault->faults->opened(*fault->path, existed);
  fault->base.pMethods = &kMethods;
  return SQLITE_OK;
}

int delete_file(sqlite3_vfs* vfs, const char* name, int sync) {
  if (!std::filesystem::exists(name)) return SQLITE_IOERR_DELETE_NOENT;
  const auto fault = faults_of(vfs)->changing(name, {.kind = FaultVfs::Change::Kind::remove}, 0);
  if (fault) return *fault;
  const int result = real_vfs()->xDelete(real_vfs(), name, 0);
  if (result == SQLITE_OK && sync != 0) faults_of(vfs)->removed_durably(name);
  return result;
}

}  // namespace

FaultVfs::FaultVfs(std::string name)
    : name_(std::move(name)), vfs_(std::make_unique<sqlite3_vfs>(*real_vfs())) {
  vfs_->iVersion = 1;
  vfs_->szOsFile = static_cast<int>(sizeof(FaultFile)) + real_vfs()->szOsFile;
  vfs_->pNext = nullptr;
  vfs_->zName = name_.c_str();
  vfs_->pAppData = this;
  vfs_->xOpen = open_file;
  vfs_->xDelete = delete_file;
  vfs_->xAccess = [](sqlite3_vfs*, const char* path, int flags, int* out) {
    return real_vfs()->xAccess(real_vfs(), path, flags, out);
  };
  vfs_->xFullPathname = [](sqlite3_vfs*, const char* path, int size, char* out) {
    return real_vfs()->xFullPathname(real_vfs(), path, size, out);
  };
  const int registered = sqlite3_vfs_register(vfs_.get(), 0);
  VALKYRIE_ASSERT(registered == SQLITE_OK);
}

FaultVfs::~FaultVfs() { sqlite3_vfs_unregister(vfs_.get()); }

void FaultVfs::fill_disk(bool full) {
  const std::lock_guard lock(mutex_);
  full_ = full;
}

void FaultVfs::refuse_write(std::uint64_t count) {
  const std::lock_guard lock(mutex_);
  writes_to_refusal_ = count;
}

bool FaultVfs::refused() {
  const std::lock_guard lock(mutex_);
  return !writes_to_refusal_;
}

void FaultVfs::break_syncs(std::string suffix) {
  const std::lock_guard lock(mutex_);
  broken_ = std::move(suffix);
}

void FaultVfs::on_step(std::function<void()> step) {
  const std::lock_guard lock(mutex_);
  step_ = std::move(step);
}

void FaultVfs::opened(const std::string& path, bool existed) {
  const std::lock_guard lock(mutex_);
  if (images_.contains(path)) return;
  Image image;
  if (existed) {
    std::ifstream in(path, std::ios::binary);
    image.durable = std::string(std::istreambuf_iterator<char>(in), {});
  }
  images_.emplace(path, std::move(image));
}

std::optional<int> FaultVfs::changing(const std::string& path, Change change, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (step_) step_();
  const bool grows =
      change.kind == Change::Kind::write && change.offset + change.data.size() > size;
  if (full_ && grows) return SQLITE_FULL;
  if (change.kind == Change::Kind::write && writes_to_refusal_) {
    if (*writes_to_refusal_ == 0) {
      writes_to_refusal_.reset();
      return SQLITE_FULL;
    }
    --*writes_to_refusal_;
  }
  images_[path].pending.push_back(std::move(change));
  return std::nullopt;
}

std::optional<int> FaultVfs::syncing(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (step_) step_();
  if (broken_ && path.ends_with(*broken_)) return SQLITE_IOERR_FSYNC;
  Image& image = images_[path];
  if (!image.durable) image.durable.emplace();
  for (const Change& change : image.pending) apply(change, change.data.size(), image.durable);
  image.pending.clear();
  return std::nullopt;
}

void FaultVfs::removed_durably(const std::string& path) {
  const std::lock_guard lock(mutex_);
  images_[path] = Image{};
}

void FaultVfs::apply(const Change& change, std::size_t bytes, std::optional<std::string>& content) {
  if (change.kind == Change::Kind::remove) {
    content.reset();
    return;
  }
  if (!content) content.emplace();
  if (change.kind == Change::Kind::truncate) {
    content->resize(change.offset);
    return;
  }
  if (content->size() < change.offset + bytes) content->resize(change.offset + bytes);
  std::memcpy(content->data() + change.offset, change.data.data(), bytes);
}

void FaultVfs::cut_power(const std::string& from, const std::string& to, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (const auto& [path, image] : images_) {
    const std::filesystem::path file(path);
    if (file.parent_path() != from) continue;
    std::optional<std::string> content = image.durable;
    for (const Change& change : image.pending) {
      const std::uint64_t fate = random() % 4;
      if (fate == 0) {
        // A name that was not taken away is still that of the old file.
        if (change.kind == Change::Kind::remove) break;
        continue;
      }
      const bool torn = fate == 1 && change.kind == Change::Kind::write;
      apply(change, torn ? random() % (change.data.size() + 1) : change.data.size(), content);
    }
    if (!content) continue;
    std::ofstream out(std::filesystem::path(to) / file.filename(), std::ios::binary);
    out << *content;
  }
}

}  // namespace valkyrie::job_store::testing
