// What it costs to keep the output of an attempt: a pipe into the store beside a pipe into a file
// that is synced as often, reading it back, and the time from bytes handed over to the news that
// readers can have them. Run: build/bench/log_store --directory DIR [--mib N] [--rounds N].
// Method and reading: bench/README.md.
#include <array>
#include <charconv>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <expected>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <variant>
#include <vector>

#include "bench/load.h"
#include "bench/socket.h"
#include "server/log_store/file_log_store.h"
#include "tools/histogram.h"

namespace valkyrie::bench {
namespace {

using jobs::LogId;
using log_store::FileLogStore;

constexpr std::size_t kPieceBytes = 32U << 10U;
constexpr std::uint64_t kSyncBytes = 16U << 20U;    // As the store's default.
constexpr std::uint64_t kWindowBytes = 64U << 20U;  // Handed over and not synced.
constexpr std::size_t kReadBytes = 256U << 10U;
constexpr int kLatencySamples = 20'000;
constexpr std::size_t kLineBytes = 100;

struct Options {
  std::string directory;
  std::uint64_t mib = 256;
  int rounds = 3;
};

// Writes all of `bytes` to a file or a pipe.
bool write_whole(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(fd, bytes.data(), bytes.size());
    if (done <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return true;
}

// A pipe into which a process of its own writes so many bytes.
class Source {
 public:
  explicit Source(std::uint64_t bytes) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
    child_ = ::fork();
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const std::vector<std::byte> block(kPieceBytes, std::byte{'x'});
      for (; bytes > 0 && write_whole(ends[1], block); bytes -= kPieceBytes) {
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    out_ = Descriptor(ends[0]);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  ~Source() {
    if (child_ > 0) ::waitpid(child_, nullptr, 0);
  }
  // What is there, at most a piece; empty at the end.
  std::string next() {
    std::string piece(kPieceBytes, '\0');
    const ssize_t got = read_some(out_.get(), std::as_writable_bytes(std::span(piece)));
    piece.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return piece;
  }

 private:
  pid_t child_ = -1;
  Descriptor out_;
};

double mib_per_s(std::uint64_t bytes, std::uint64_t begin_ns) {
  return static_cast<double>(bytes) / (1U << 20U) * 1e9 / static_cast<double>(now_ns() - begin_ns);
}

// The floor: read, write, sync. The bytes are not looked at.
std::expected<double, std::string> pipe_into_file(const Options& options) {
  const std::string path = options.directory + "/floor";
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (file.get() < 0) return std::unexpected("cannot write to " + path);
  const std::uint64_t begin = now_ns();
  Source source(options.mib << 20U);
  std::uint64_t bytes = 0;
  std::uint64_t synced = 0;
  for (std::string piece = source.next(); !piece.empty(); piece = source.next()) {
    if (!write_whole(file.get(), std::as_bytes(std::span(piece)))) return std::unexpected("write");
    bytes += piece.size();
    if (bytes - synced < kSyncBytes) continue;
    if (::fdatasync(file.get()) != 0) return std::unexpected("sync");
    synced = bytes;
  }
  if (::fdatasync(file.get()) != 0) return std::unexpected("sync");
  const double rate = mib_per_s(bytes, begin);
  ::unlink(path.c_str());
  return rate;
}

// A store and the news of one log.
class Watched {
 public:
  static std::expected<std::unique_ptr<Watched>, std::string> open(const std::string& directory) {
    auto watched = std::make_unique<Watched>();
    log_store::FileLogStoreOptions options;
    options.on_news = [self = watched.get()] {
      const std::lock_guard lock(self->mutex_);
      self->news_ = true;
      self->some_.notify_one();
    };
    auto store = FileLogStore::open(directory, std::move(options));
    if (!store) return std::unexpected(store.error());
    watched->store_ = std::move(*store);
    return watched;
  }
  FileLogStore& store() { return *store_; }
  // Listens to this log from now on.
  void listen(const LogId& log) {
    log_ = log;
    grown = {};
    safe = false;
  }
  // Takes all news, after waiting for some.
  void wait() {
    {
      std::unique_lock lock(mutex_);
      some_.wait(lock, [this] { return std::exchange(news_, false); });
    }
    while (const auto news = store_->poll()) take(*news);
  }

  jobs::LogGrew grown;
  bool safe = false;
  std::optional<std::uint64_t> read;  // Bytes that the last read gave.
  std::string error;

 private:
  void take(const jobs::LogNews& news) {
    if (const auto* const grew = std::get_if<jobs::LogGrew>(&news); grew && grew->log == log_) {
      grown = *grew;
    }
    if (const auto* const done = std::get_if<jobs::LogSafe>(&news)) safe = done->log == log_;
    if (const auto* const found = std::get_if<jobs::LogRead>(&news)) {
      read = 0;
      for (const jobs::LogPiece& piece : found->pieces) *read += piece.data.size();
    }
    if (const auto* const failed = std::get_if<jobs::LogReadFailed>(&news)) error = failed->text;
    if (const auto* const stalled = std::get_if<jobs::LogStalled>(&news)) error = stalled->text;
  }

  LogId log_;
  std::mutex mutex_;
  std::condition_variable some_;
  bool news_ = false;
  std::unique_ptr<FileLogStore> store_;  // Last: its threads use what is above.
};

LogId log_of(std::uint64_t row) {
  return {.job = jobs::JobId::make(1'790'000'000'000, 1, row, 1), .attempt = 1};
}

// From the pipe into the store, until the log is safe.
std::expected<double, std::string> pipe_into_store(Watched& watched, const LogId& log,
                                                   std::uint64_t mib) {
  watched.listen(log);
  const std::uint64_t begin = now_ns();
  Source source(mib << 20U);
  std::uint64_t sent = 0;
  for (std::string piece = source.next(); !piece.empty(); piece = source.next()) {
    const std::uint64_t size = piece.size();
    watched.store().append(log, messages::OutputStream::merged, sent, now_ns() / 1'000'000,
                           std::move(piece));
    sent += size;
    while (sent - watched.grown.synced > kWindowBytes && watched.error.empty()) watched.wait();
  }
  watched.store().finish(log);
  while (!watched.safe && watched.error.empty()) watched.wait();
  if (!watched.error.empty()) return std::unexpected(watched.error);
  return mib_per_s(sent, begin);
}

// All of a log, one read after the other, from the page cache.
std::expected<double, std::string> read_back(Watched& watched, const LogId& log) {
  const std::uint64_t begin = now_ns();
  std::uint64_t offset = 0;
  while (true) {
    watched.read.reset();
    watched.store().read(log, offset, kReadBytes, 1);
    while (!watched.read && watched.error.empty()) watched.wait();
    if (!watched.error.empty()) return std::unexpected(watched.error);
    if (*watched.read == 0) return mib_per_s(offset, begin);
    offset += *watched.read;
  }
}

// One line after the other, each as soon as the one before can be read.
std::expected<tools::Histogram, std::string> latency(Watched& watched, const LogId& log) {
  tools::Histogram histogram;
  watched.listen(log);
  for (std::uint64_t sent = 0; sent < kLatencySamples * kLineBytes; sent += kLineBytes) {
    const std::uint64_t begin = now_ns();
    watched.store().append(log, messages::OutputStream::merged, sent, begin / 1'000'000,
                           std::string(kLineBytes, 'x'));
    while (watched.grown.written < sent + kLineBytes && watched.error.empty()) watched.wait();
    if (!watched.error.empty()) return std::unexpected(watched.error);
    histogram.record(now_ns() - begin);
  }
  watched.store().finish(log);
  while (!watched.safe && watched.error.empty()) watched.wait();
  return histogram;
}

std::expected<void, std::string> measure_rounds(const Options& options) {
  auto opened = Watched::open(options.directory + "/logs");
  if (!opened) return std::unexpected(opened.error());
  Watched& watched = **opened;
  std::uint64_t row = 0;
  for (int round = 1; round <= options.rounds; ++round) {
    const auto floor = pipe_into_file(options);
    if (!floor) return std::unexpected(floor.error());
    const LogId log = log_of(++row);
    const auto store = pipe_into_store(watched, log, options.mib);
    if (!store) return std::unexpected(store.error());
    const auto read = read_back(watched, log);
    if (!read) return std::unexpected(read.error());
    const auto times = latency(watched, log_of(++row));
    if (!times) return std::unexpected(times.error());
    fmt::print(R"({{"round": {}, "floor_mib_per_s": {:.0f}, "store_mib_per_s": {:.0f}, )"
               R"("ratio": {:.2f}, "read_mib_per_s": {:.0f}, )"
               R"("written_p50_us": {:.1f}, "written_p99_us": {:.1f}}})"
               "\n",
               round, *floor, *store, *store / *floor, *read,
               static_cast<double>(times->value_at_ns(0.5)) / 1e3,
               static_cast<double>(times->value_at_ns(0.99)) / 1e3);
  }
  return {};
}

// In a folder of its own, which is removed.
std::expected<void, std::string> measure(Options options) {
  options.directory += "/log_store-XXXXXX";
  if (::mkdtemp(options.directory.data()) == nullptr) {
    return std::unexpected("cannot make " + options.directory);
  }
  auto done = measure_rounds(options);
  std::error_code ignored;
  std::filesystem::remove_all(options.directory, ignored);
  return done;
}

bool take_option(Options& options, std::string_view name, std::string_view value) {
  if (name == "--directory") return !(options.directory = value).empty();
  if (name == "--mib") {
    return std::from_chars(value.begin(), value.end(), options.mib).ec == std::errc() &&
           options.mib > 0;
  }
  return name == "--rounds" &&
         std::from_chars(value.begin(), value.end(), options.rounds).ec == std::errc() &&
         options.rounds > 0;
}

int run(int argc, char** argv) {
  Options options;
  bool sound = argc % 2 == 1;
  for (int at = 1; at + 1 < argc; at += 2) {
    sound = take_option(options, argv[at], argv[at + 1]) && sound;
  }
  if (!sound || options.directory.empty()) {
    fmt::print(stderr, "usage: {} --directory DIR [--mib N] [--rounds N]\n", argv[0]);
    return 2;
  }
  if (const auto done = measure(std::move(options)); !done) {
    fmt::print(stderr, "log_store: {}\n", done.error());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::run(argc, argv); }
