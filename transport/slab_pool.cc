#include "transport/slab_pool.h"

#include <mutex>
#include <utility>
#include <vector>

namespace valkyrie::transport {
namespace {

// Slabs that are kept for the next read: bulk that is passed on at once needs two or three.
constexpr std::size_t kKeptMax = 4;

}  // namespace

struct SlabPool::Shelf {
  std::mutex mutex;
  std::vector<std::unique_ptr<std::byte[]>> free;  // The last one was used last: it is in caches.
  std::size_t lent = 0;

  void put_back(std::byte* slab) {
    std::unique_ptr<std::byte[]> back(slab);
    const std::lock_guard lock(mutex);
    --lent;
    if (free.size() < kKeptMax) free.push_back(std::move(back));
  }
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
  return {slab.release(), [shelf = shelf_](std::byte* back) { shelf->put_back(back); }};
}

}  // namespace valkyrie::transport
