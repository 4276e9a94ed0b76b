// A hash table from 32-bit keys to 32-bit slots, for what a session looks up per frame.
// Private to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace valkyrie::protocol {

// Open addressing, linear probing, deletion by shifting back: no tombstones, so that a table that
// lives for years stays as quick as a new one. Grows to twice its size at 3/4 full and never
// shrinks; allocates nothing before the first insert. At most 2^31 keys: they are ids of a session.
class FlatIndex {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  // The slot of `key`, or kNone.
  [[nodiscard]] std::uint32_t find(std::uint32_t key) const {
    if (size_ == 0) return kNone;
    for (std::uint32_t i = home(key);; i = (i + 1) & mask_) {
      if (entries_[i].slot == kNone) return kNone;
      if (entries_[i].key == key) return entries_[i].slot;
    }
  }

  // Adds a key. REQUIRES: it is not there; slot is not kNone.
  void insert(std::uint32_t key, std::uint32_t slot) {
    if (size_ == size_max_) grow();
    put(key, slot);
    ++size_;
  }

  // Takes a key out; false if it was not there.
  bool erase(std::uint32_t key) {
    if (size_ == 0) return false;
    std::uint32_t hole = home(key);
    while (entries_[hole].slot == kNone || entries_[hole].key != key) {
      if (entries_[hole].slot == kNone) return false;
      hole = (hole + 1) & mask_;
    }
    for (std::uint32_t i = (hole + 1) & mask_; entries_[i].slot != kNone; i = (i + 1) & mask_) {
      // An entry may fill the hole unless its home lies after the hole.
      if (((i - home(entries_[i].key)) & mask_) >= ((i - hole) & mask_)) {
        entries_[hole] = entries_[i];
        hole = i;
      }
    }
    entries_[hole].slot = kNone;
    --size_;
    return true;
  }

  // Keys in the table.
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  struct Entry {
    std::uint32_t key = 0;
    std::uint32_t slot = kNone;
  };

  // Fibonacci hashing: consecutive ids spread evenly.
  [[nodiscard]] std::uint32_t home(std::uint32_t key) const {
    return static_cast<std::uint32_t>((std::uint64_t{key} * 0x9E3779B97F4A7C15u) >> shift_);
  }

  void put(std::uint32_t key, std::uint32_t slot) {
    std::uint32_t i = home(key);
    while (entries_[i].slot != kNone) i = (i + 1) & mask_;
    entries_[i] = {key, slot};
  }

  void grow() {
    std::vector<Entry> old(entries_.empty() ? 8 : entries_.size() * 2);
    old.swap(entries_);
    mask_ = static_cast<std::uint32_t>(entries_.size() - 1);
    size_max_ = static_cast<std::uint32_t>(entries_.size() / 4 * 3);
    shift_ = 64 - static_cast<std::uint32_t>(__builtin_ctzll(entries_.size()));
    for (const Entry& entry : old) {
      if (entry.slot != kNone) put(entry.key, entry.slot);
    }
  }

  std::vector<Entry> entries_;
  std::uint32_t size_ = 0;
  std::uint32_t size_max_ = 0;
  std::uint32_t mask_ = 0;
  std::uint32_t shift_ = 63;
};

}  // namespace valkyrie::protocol
