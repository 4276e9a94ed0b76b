#include "server/log_store/log_index.h"

#include <gtest/gtest.h>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "protocol/hex_text.h"
#include "server/log_store/index_file.h"
#include "server/log_store/testing/virtual_log_disk.h"

namespace valkyrie::log_store {
namespace {

using messages::OutputStream;

std::string encoded(const IndexRecord& record) {
  std::string bytes;
  encode_record(record, bytes);
  return bytes;
}

// The file of an index with these records.
class StoredIndex {
 public:
  explicit StoredIndex(const std::vector<IndexRecord>& records) {
    std::string bytes(kIndexHeader.data(), kIndexHeader.size());
    for (const IndexRecord& record : records) encode_record(record, bytes);
    put(std::move(bytes));
  }
  void put(std::string bytes) {
    memory_.replace("aa", "index", std::move(bytes));
    file_ = std::move(*disk_->open("aa", "index", Access::read));
  }
  [[nodiscard]] std::string bytes() const { return memory_.contents("aa", "index"); }
  [[nodiscard]] std::vector<StreamRun> runs(std::uint64_t begin, std::uint64_t end) const {
    const auto found = runs_of(*file_, std::nullopt, begin, end);
    EXPECT_TRUE(found.has_value());
    return *found;
  }

 private:
  testing::VirtualLogDisk memory_;
  std::unique_ptr<LogDisk> disk_ = memory_.disk();
  std::unique_ptr<LogFile> file_;
};

constexpr auto kOut = OutputStream::out;
constexpr auto kErr = OutputStream::err;
constexpr auto kMerged = OutputStream::merged;

TEST(LogIndex, has_the_documented_layout) {
  const std::string bytes = encoded({.offset = 0x0102030405060708,
                                     .length = 0x090A0B0C,
                                     .unix_ms = 0x111213141516,
                                     .stream = kErr});
  ASSERT_EQ(bytes.size(), kIndexRecordBytes);
  EXPECT_EQ(protocol::hex_text(std::as_bytes(std::span(bytes).first(19))),
            "0102030405060708090a0b0c11121314151602");
}

TEST(LogIndex, gives_back_records_at_their_limits) {
  for (const IndexRecord& record :
       {IndexRecord{.offset = 0, .length = 1, .unix_ms = 0, .stream = kMerged},
        IndexRecord{.offset = UINT64_MAX - UINT32_MAX,
                    .length = UINT32_MAX,
                    .unix_ms = (std::uint64_t{1} << 48U) - 1,
                    .stream = OutputStream::system}}) {
    EXPECT_EQ(decode_record(encoded(record)), record);
  }
}

TEST(LogIndex, refuses_a_record_with_any_bit_flipped_and_any_beginning_of_one) {
  const std::string whole = encoded({.offset = 7, .length = 9, .unix_ms = 5, .stream = kOut});
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(decode_record(damaged), std::nullopt) << "bit " << bit;
  }
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(decode_record(whole.substr(0, size)), std::nullopt);
  }
  EXPECT_EQ(decode_record(std::string(kIndexRecordBytes, '\0')), std::nullopt);
}

TEST(LogIndex, tells_its_header_from_a_torn_and_a_foreign_one) {
  const std::string whole(kIndexHeader.data(), kIndexHeader.size());
  EXPECT_EQ(check_header(whole), IndexHeader::ours);
  EXPECT_EQ(check_header(whole + "more"), IndexHeader::ours);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(check_header(whole.substr(0, size)), IndexHeader::torn);
  }
  EXPECT_EQ(check_header(std::string(8, '\0')), IndexHeader::torn);
  EXPECT_EQ(check_header("VALKLOG\x02"), IndexHeader::foreign);
  EXPECT_EQ(check_header("x"), IndexHeader::foreign);
}

TEST(IndexScan, counts_whole_records_in_order_fed_in_pieces_of_any_size) {
  std::string bytes = encoded({.offset = 0, .length = 5});
  encode_record({.offset = 5, .length = 5}, bytes);
  encode_record({.offset = 10, .length = 5}, bytes);
  for (std::size_t size = 1; size <= bytes.size(); ++size) {
    IndexScan scan;
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      EXPECT_TRUE(scan.feed(bytes.substr(at, size), 100));
    }
    EXPECT_EQ(scan.records(), 3U);
  }
}

TEST(IndexScan, ends_at_a_bad_record_at_one_out_of_order_and_at_the_end_of_the_log) {
  const auto count = [](std::vector<IndexRecord> records, std::uint64_t log_bytes) {
    IndexScan scan;
    for (const IndexRecord& record : records) scan.feed(encoded(record), log_bytes);
    return scan.records();
  };
  EXPECT_EQ(count({{.offset = 0, .length = 5}, {.offset = 0, .length = 5}}, 100), 1U);
  EXPECT_EQ(count({{.offset = 0, .length = 5}, {.offset = 5, .length = 5}}, 6), 2U);
  EXPECT_EQ(count({{.offset = 0, .length = 5}, {.offset = 5, .length = 5}}, 5), 1U);
  IndexScan scan;
  EXPECT_FALSE(scan.feed(std::string(kIndexRecordBytes, 'x'), 100));
  EXPECT_FALSE(scan.feed(encoded({.offset = 0, .length = 5}), 100));
  EXPECT_EQ(scan.records(), 0U);
}

TEST(RunsOf, fills_what_no_record_is_about_with_merged) {
  const StoredIndex index({{.offset = 10, .length = 10, .unix_ms = 1000, .stream = kOut},
                           {.offset = 30, .length = 10, .unix_ms = 2000, .stream = kErr}});
  EXPECT_EQ(index.runs(0, 100), (std::vector<StreamRun>{{0, 0, kMerged},
                                                        {10, 1000, kOut},
                                                        {20, 1000, kMerged},
                                                        {30, 2000, kErr},
                                                        {40, 2000, kMerged}}));
  EXPECT_EQ(index.runs(15, 20), (std::vector<StreamRun>{{15, 1000, kOut}}));
  EXPECT_EQ(index.runs(19, 31),
            (std::vector<StreamRun>{{19, 1000, kOut}, {20, 1000, kMerged}, {30, 2000, kErr}}));
  EXPECT_EQ(index.runs(50, 60), (std::vector<StreamRun>{{50, 2000, kMerged}}));
}

TEST(RunsOf, believes_the_later_of_two_records_that_overlap) {
  const StoredIndex index({{.offset = 0, .length = 100, .unix_ms = 1, .stream = kOut},
                           {.offset = 40, .length = 10, .unix_ms = 500, .stream = kErr}});
  EXPECT_EQ(index.runs(0, 60),
            (std::vector<StreamRun>{{0, 1, kOut}, {40, 500, kErr}, {50, 500, kMerged}}));
}

TEST(RunsOf, finds_any_byte_of_a_large_index) {
  std::vector<IndexRecord> records;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    records.push_back(
        {.offset = i * 3, .length = 3, .unix_ms = i * 1000, .stream = i % 2 == 0 ? kOut : kErr});
  }
  const StoredIndex index(records);
  for (std::uint64_t at = 0; at < 6000; at += 7) {
    const std::uint64_t number = at / 3;
    EXPECT_EQ(index.runs(at, at + 1),
              (std::vector<StreamRun>{{at, number * 1000, number % 2 == 0 ? kOut : kErr}}));
  }
  EXPECT_EQ(index.runs(0, 6000).size(), 2000U);
}

TEST(RunsOf, knows_nothing_behind_a_damaged_record) {
  std::vector<IndexRecord> records;
  for (std::uint64_t i = 0; i < 100; ++i) {
    records.push_back({.offset = i * 10, .length = 10, .unix_ms = 0, .stream = kOut});
  }
  StoredIndex index(records);
  std::string bytes = index.bytes();
  for (std::size_t i = 0; i < kIndexRecordBytes; ++i) {
    bytes[kIndexHeader.size() + 50 * kIndexRecordBytes + i] = '\0';
  }
  index.put(bytes);
  EXPECT_EQ(index.runs(0, 1000), (std::vector<StreamRun>{{0, 0, kOut}, {500, 0, kMerged}}));
  index.put("VALKLOG\x02" + bytes.substr(8));
  EXPECT_EQ(index.runs(0, 1000), (std::vector<StreamRun>{{0, 0, kMerged}}));
  index.put("");
  EXPECT_EQ(index.runs(0, 1000), (std::vector<StreamRun>{{0, 0, kMerged}}));
}

}  // namespace
}  // namespace valkyrie::log_store
