#include "transport/slab_pool.h"

#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "protocol/assert.h"

namespace valkyrie::transport {
namespace {

// Slabs that are kept for the next reads: a turn fills up to four, and their readers let go of them
// later. Memory from the system for each would cost more than a copy.
constexpr std::size_t kKeptMax = 8;

}  // namespace

struct SlabPool::Shelf {
  // Memory for the counts of shares, one block a slab, kept as the slabs are: a read costs none.
  template <class T>
  struct CountAllocator {
    using value_type = T;

    explicit CountAllocator(std::shared_ptr<Shelf> its_shelf) : shelf(std::move(its_shelf)) {}
    template <class U>
    CountAllocator(const CountAllocator<U>& other) : shelf(other.shelf) {}

    T* allocate(std::size_t count) {
      VALKYRIE_ASSERT(count == 1);
      return static_cast<T*>(shelf->take_block(sizeof(T)));
    }
    void deallocate(T* block, std::size_t) { shelf->put_back_block(block); }
    bool operator==(const CountAllocator&) const = default;

    std::shared_ptr<Shelf> shelf;
  };

  Shelf() {
    free.reserve(kKeptMax);
    blocks.reserve(kKeptMax);
  }
  ~Shelf() {
    for (void* block : blocks) ::operator delete(block);
  }
  Shelf(const Shelf&) = delete;
  Shelf& operator=(const Shelf&) = delete;

  void put_back(std::byte* slab) {
    std::unique_ptr<std::byte[]> back(slab);
    const std::lock_guard lock(mutex);
    --lent;
    if (free.size() < kKeptMax) free.push_back(std::move(back));
  }
  void* take_block(std::size_t bytes) {
    const std::lock_guard lock(mutex);
    if (blocks.empty()) return ::operator new(bytes);
    void* const block = blocks.back();
    blocks.pop_back();
    return block;
  }
  void put_back_block(void* block) {
    const std::lock_guard lock(mutex);
    if (blocks.size() == kKeptMax) return ::operator delete(block);
    blocks.push_back(block);
  }

  std::mutex mutex;
  std::vector<std::unique_ptr<std::byte[]>> free;  // The last one was used last: it is in caches.
  std::vector<void*> blocks;                       // All of one size.
  std::size_t lent = 0;
};

SlabPool::SlabPool() : shelf_(std::make_shared<Shelf>()) {}

std::shared_ptr<std::byte> SlabPool::take() {
  std::unique_ptr<std::byte[]> slab;
  {
    const std::lock_guard lock(shelf_->mutex);
    if (shelf_->lent == kLentMax) return nullptr;
    ++shelf_->lent;
    if (!shelf_->free.empty()) {
      slab = std::move(shelf_->free.back());
      shelf_->free.pop_back();
    }
  }
  if (slab == nullptr) slab = std::make_unique_for_overwrite<std::byte[]>(kSlabBytes);
  return {slab.release(), [shelf = shelf_.get()](std::byte* back) { shelf->put_back(back); },
          Shelf::CountAllocator<std::byte>(shelf_)};
}

}  // namespace valkyrie::transport
