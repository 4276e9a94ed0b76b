// Memory that bulk is read into, and that whoever handles it may keep instead of copying.
#pragma once

#include <cstddef>
#include <memory>

namespace valkyrie::transport {

// Lends slabs. One thread takes them; shares of a slab may be kept and dropped by any thread, even
// after the end of the pool.
class SlabPool {
 public:
  // Bytes. A slab stays whole as long as anybody has a share of it.
  static constexpr std::size_t kSlabBytes = 256u << 10;
  // Slabs that may be out. It bounds what small shares can pin of memory.
  static constexpr std::size_t kLentMax = 64;

  SlabPool();

  // A slab; it comes back when its last share is dropped. nullptr if kLentMax are out: what is read
  // elsewhere nobody may keep.
  [[nodiscard]] std::shared_ptr<std::byte> take();

 private:
  struct Shelf;

  std::shared_ptr<Shelf> shelf_;
};

}  // namespace valkyrie::transport
