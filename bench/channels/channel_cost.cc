// What our channels cost beside the cryptographic library alone, in memory, in turns in one
// process.
//
//   channel_cost --suite noise-aes|noise-chacha|tls --what handshake|bulk --files FOLDER
//                [--time SECONDS]
//
// Prints one line of JSON. A handshake is that of both sides. Bulk is batches of 256 KiB, as a
// connection writes and reads them, in records of 16 KiB.
#include <charconv>
#include <cstdio>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <vector>

#include "bench/channels/library.h"
#include "bench/channels/pair.h"
#include "bench/load.h"
#include "tools/histogram.h"

namespace valkyrie::bench {
namespace {

constexpr std::size_t kBatchBytes = 256 << 10;
constexpr std::size_t kRecordBytes = 16 << 10;
constexpr std::size_t kRecordsOfBatch = kBatchBytes / kRecordBytes;

struct Options {
  std::optional<Suite> suite{};
  std::string what{};
  std::string files{};
  double time_s = 3.0;
};

using Result = std::expected<std::string, std::string>;

std::string latency(const tools::Histogram& histogram) {
  const auto us = [&](double share) {
    return static_cast<double>(histogram.value_at_ns(share)) / 1e3;
  };
  return fmt::format(R"({{"p50_us": {:.1f}, "p99_us": {:.1f}, "count": {}}})", us(0.5), us(0.99),
                     histogram.count());
}

Result handshakes(Suite suite, const Certificates& certificates, double time_s) {
  auto ours = PairSource::make(suite, certificates);
  if (!ours) return std::unexpected(ours.error());
  auto library = library_handshake(suite, certificates);
  if (!library) return std::unexpected(library.error());
  tools::Histogram our_time;
  tools::Histogram library_time;
  const std::uint64_t end = now_ns() + static_cast<std::uint64_t>(time_s * 1e9);
  for (std::uint64_t begin = now_ns(); begin < end;) {
    // With what taking it down costs.
    if (!(*ours)->shake_hands()) return std::unexpected("a handshake of ours failed");
    const std::uint64_t middle = now_ns();
    our_time.record(middle - begin);
    if (!(*library)->run()) return std::unexpected("a handshake of the library failed");
    begin = now_ns();
    library_time.record(begin - middle);
  }
  return fmt::format(R"({{"ours": {}, "library": {}}})", latency(our_time), latency(library_time));
}

// Time that batches of one kind took.
struct Meter {
  // Adds what `work` takes, which is true unless it failed.
  template <class Work>
  bool measure(Work work) {
    const std::uint64_t begin = now_ns();
    const bool done = work();
    ns += now_ns() - begin;
    ++batches;
    return done;
  }
  [[nodiscard]] double gbit_per_s() const {
    return static_cast<double>(batches * kBatchBytes * 8) / static_cast<double>(ns);
  }

  std::uint64_t ns = 0;
  std::uint64_t batches = 0;
};

struct BulkMeters {
  Meter our_seal{};
  Meter our_open{};
  Meter library_seal{};
  Meter library_open{};
};

bool measure_ours(Pair& pair, std::span<const std::byte> text, BulkMeters& meters) {
  const std::array pieces = {text};
  std::vector<std::byte> sealed;  // A connection that has written all owns none either.
  Counter counter;
  return meters.our_seal.measure([&] { return pair.dialer->seal(pieces, sealed).has_value(); }) &&
         meters.our_open.measure(
             [&] { return pair.acceptor->receive(sealed, counter).has_value(); }) &&
         counter.bytes == kBatchBytes;
}

bool measure_library(LibraryAead& aead, std::vector<std::byte>& batch, BulkMeters& meters) {
  constexpr std::size_t kSealedBytes = kRecordBytes + LibraryAead::kTagBytes;
  const auto each = [&](auto work) {
    bool done = true;
    for (std::size_t i = 0; i < kRecordsOfBatch; ++i) {
      done = work(std::span(batch).subspan(i * kSealedBytes, kSealedBytes)) && done;
    }
    return done;
  };
  return meters.library_seal.measure([&] {
    return each([&](std::span<std::byte> record) {
      aead.seal(record);
      return true;
    });
  }) && meters.library_open.measure([&] {
    return each([&](std::span<std::byte> record) { return aead.open(record); });
  });
}

Result bulk(Suite suite, const Certificates& certificates, double time_s) {
  auto source = PairSource::make(suite, certificates);
  if (!source) return std::unexpected(source.error());
  auto pair = (*source)->shake_hands();
  if (!pair) return std::unexpected("a handshake of ours failed");
  LibraryAead aead(suite);
  const std::vector<std::byte> text(kBatchBytes, std::byte{0x5A});
  std::vector<std::byte> batch(kRecordsOfBatch * (kRecordBytes + LibraryAead::kTagBytes));
  BulkMeters meters;
  const std::uint64_t end = now_ns() + static_cast<std::uint64_t>(time_s * 1e9);
  while (now_ns() < end) {
    if (!measure_ours(*pair, text, meters)) return std::unexpected("a record of ours was lost");
    if (!measure_library(aead, batch, meters)) return std::unexpected("a record was lost");
  }
  return fmt::format(R"({{"ours": {{"seal_gbit_per_s": {:.2f}, "open_gbit_per_s": {:.2f}}}, )"
                     R"("library": {{"seal_gbit_per_s": {:.2f}, "open_gbit_per_s": {:.2f}}}}})",
                     meters.our_seal.gbit_per_s(), meters.our_open.gbit_per_s(),
                     meters.library_seal.gbit_per_s(), meters.library_open.gbit_per_s());
}

bool take_option(Options& options, std::string_view name, std::string_view value) {
  if (name == "--suite") return (options.suite = suite_of(value)).has_value();
  if (name == "--files") return !(options.files = value).empty();
  if (name == "--what") {
    options.what = value;
    return value == "handshake" || value == "bulk";
  }
  const auto read = std::from_chars(value.begin(), value.end(), options.time_s);
  return name == "--time" && read.ec == std::errc() && options.time_s > 0;
}

int run(int argc, char** argv) {
  Options options;
  bool sound = argc % 2 == 1;
  for (int at = 1; at + 1 < argc; at += 2) {
    sound = take_option(options, argv[at], argv[at + 1]) && sound;
  }
  if (!sound || !options.suite || options.what.empty() || options.files.empty()) {
    fmt::print(stderr,
               "usage: {} --suite noise-aes|noise-chacha|tls --what handshake|bulk "
               "--files FOLDER [--time SECONDS]\n",
               argv[0]);
    return 2;
  }
  Result result;
  if (const auto files = read_certificates(options.files); !files) {
    result = std::unexpected(files.error());
  } else {
    const auto measure = options.what == "bulk" ? bulk : handshakes;
    result = measure(*options.suite, *files, options.time_s);
  }
  if (!result) {
    fmt::print(stderr, "channel_cost: {}\n", result.error());
    return 1;
  }
  fmt::print("{}\n", *result);
  return 0;
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::run(argc, argv); }
