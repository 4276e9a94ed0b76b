// Storage for many small objects of one kind: no allocation once warm, addresses that stay, ids
// that are never mistaken for those of a later object in the same place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "protocol/assert.h"

namespace valkyrie::router {

// Objects of type T. Not thread-safe.
template <class T>
class Slab {
 public:
  // Bits of an id that are used; the rest is free for a tag of the owner.
  static constexpr unsigned kIdBits = 60;

  // Makes an object of no arguments and returns its id, which is never 0.
  std::uint64_t make() {
    if (free_.empty()) grow();
    const std::uint32_t index = free_.back();
    free_.pop_back();
    Slot& slot = slot_of(index);
    slot.value.emplace();
    return id_of(index, slot.generation);
  }

  // The object, or nullptr if it is gone.
  [[nodiscard]] T* find(std::uint64_t id) {
    const std::uint64_t index = id & kIndexMask;
    if (index >= blocks_.size() * kBlock) return nullptr;
    Slot& slot = slot_of(static_cast<std::uint32_t>(index));
    if (!slot.value || id != id_of(static_cast<std::uint32_t>(index), slot.generation)) {
      return nullptr;
    }
    return &*slot.value;
  }

  // Destroys the object. REQUIRES: it exists.
  void erase(std::uint64_t id) {
    const auto index = static_cast<std::uint32_t>(id & kIndexMask);
    VALKYRIE_ASSERT(find(id) != nullptr);
    Slot& slot = slot_of(index);
    slot.value.reset();
    if (++slot.generation == 0) slot.generation = 1;
    free_.push_back(index);
  }

  // Calls each(id, object) for every object; each may erase the one it was given.
  template <class Each>
  void for_each(Each each) {
    for (std::uint32_t index = 0; index < blocks_.size() * kBlock; ++index) {
      Slot& slot = slot_of(index);
      if (slot.value) each(id_of(index, slot.generation), *slot.value);
    }
  }

  // The part of an id that is small and dense: an index for arrays beside the slab.
  [[nodiscard]] static std::size_t index_of(std::uint64_t id) { return id & kIndexMask; }

  // Live objects.
  [[nodiscard]] std::size_t size() const { return blocks_.size() * kBlock - free_.size(); }

 private:
  static constexpr unsigned kIndexBits = 28;
  static constexpr std::uint64_t kIndexMask = (std::uint64_t{1} << kIndexBits) - 1;
  static constexpr std::uint32_t kBlock = 64;

  struct Slot {
    std::optional<T> value;
    std::uint32_t generation = 1;
  };

  static std::uint64_t id_of(std::uint32_t index, std::uint32_t generation) {
    return std::uint64_t{generation} << kIndexBits | index;
  }
  Slot& slot_of(std::uint32_t index) { return blocks_[index / kBlock][index % kBlock]; }
  void grow() {
    const auto first = static_cast<std::uint32_t>(blocks_.size() * kBlock);
    VALKYRIE_ASSERT(first + kBlock <= kIndexMask);
    blocks_.push_back(std::make_unique<Slot[]>(kBlock));
    for (std::uint32_t i = kBlock; i > 0; --i) free_.push_back(first + i - 1);
  }

  std::vector<std::unique_ptr<Slot[]>> blocks_;
  std::vector<std::uint32_t> free_;
};

}  // namespace valkyrie::router
