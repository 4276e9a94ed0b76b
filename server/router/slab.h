// Storage for many small objects of one kind: no allocation once warm, addresses that stay, ids
// that are never mistaken for those of a later object in the same place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "protocol/assert.h"

namespace valkyrie::router {

// Objects of type T. Not thread-safe.
template <class T>
class Slab {
 public:
  // Bits of an id that are used; the rest is free for a tag of the owner.
  static constexpr unsigned kIdBits = 60;

  Slab() = default;
  ~Slab() {
    for (Slot* slot : slots_) {
      if (slot->taken()) std::destroy_at(slot->value());
    }
  }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  // Makes an object of no arguments and returns its id, which is never 0.
  std::uint64_t make() {
    if (free_.empty()) grow();
    const std::uint32_t index = free_.back();
    free_.pop_back();
    Slot& slot = *slots_[index];
    std::construct_at(reinterpret_cast<T*>(slot.bytes));
    slot.id &= ~kFree;
    return slot.id;
  }

  // The object, or nullptr if it is gone.
  [[nodiscard]] T* find(std::uint64_t id) {
    const std::size_t index = id & kIndexMask;
    if (index >= slots_.size()) return nullptr;
    Slot& slot = *slots_[index];
    return slot.id == id && slot.taken() ? slot.value() : nullptr;
  }

  // Destroys the object. REQUIRES: it exists.
  void erase(std::uint64_t id) {
    VALKYRIE_ASSERT(find(id) != nullptr);
    const auto index = static_cast<std::uint32_t>(id & kIndexMask);
    Slot& slot = *slots_[index];
    std::destroy_at(slot.value());
    auto generation = static_cast<std::uint32_t>(id >> kIndexBits);
    if (++generation == 0) generation = 1;
    slot.id = kFree | std::uint64_t{generation} << kIndexBits | index;
    free_.push_back(index);
  }

  // Calls each(id, object) for every object; each may erase the one it was given.
  template <class Each>
  void for_each(Each each) {
    for (std::size_t index = 0; index < slots_.size(); ++index) {
      Slot& slot = *slots_[index];
      if (slot.taken()) each(slot.id, *slot.value());
    }
  }

  // The part of an id that is small and dense: an index for arrays beside the slab.
  [[nodiscard]] static std::size_t index_of(std::uint64_t id) { return id & kIndexMask; }

  // Live objects.
  [[nodiscard]] std::size_t size() const { return slots_.size() - free_.size(); }

 private:
  static constexpr unsigned kIndexBits = 28;
  static constexpr std::uint64_t kIndexMask = (std::uint64_t{1} << kIndexBits) - 1;
  static constexpr std::uint64_t kFree = std::uint64_t{1} << 63;
  static constexpr std::uint32_t kBlock = 64;

  struct Slot {
    std::uint64_t id = kFree;  // Of the object, or with kFree of the next one: generation, index.
    alignas(T) std::byte bytes[sizeof(T)];

    [[nodiscard]] bool taken() const { return (id & kFree) == 0; }
    [[nodiscard]] T* value() { return std::launder(reinterpret_cast<T*>(bytes)); }
  };

  void grow() {
    const auto first = static_cast<std::uint32_t>(slots_.size());
    VALKYRIE_ASSERT(first + kBlock <= kIndexMask);
    blocks_.push_back(std::make_unique<Slot[]>(kBlock));
    for (std::uint32_t i = 0; i < kBlock; ++i) {
      Slot& slot = blocks_.back()[i];
      slot.id = kFree | std::uint64_t{1} << kIndexBits | (first + i);
      slots_.push_back(&slot);
    }
    for (std::uint32_t i = kBlock; i > 0; --i) free_.push_back(first + i - 1);
  }

  std::vector<std::unique_ptr<Slot[]>> blocks_;
  std::vector<Slot*> slots_;  // By index; a find is one load away from its object.
  std::vector<std::uint32_t> free_;
};

}  // namespace valkyrie::router
