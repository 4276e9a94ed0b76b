#include "protocol/buffer_pool.h"

#include "protocol/assert.h"

namespace valkyrie::protocol {

BufferPool::~BufferPool() {
  VALKYRIE_ASSERT(in_use_ == 0);
  while (free_ != nullptr) {
    Chunk* chunk = free_;
    free_ = chunk->next;
    delete chunk;
  }
}

Chunk* BufferPool::acquire() {
  ++in_use_;
  if (free_ == nullptr) return new Chunk;
  Chunk* chunk = free_;
  free_ = chunk->next;
  --kept_;
  chunk->next = nullptr;
  chunk->end = 0;
  chunk->live = 0;
  return chunk;
}

void BufferPool::release(Chunk* chunk) {
  --in_use_;
  if (kept_ == kept_max_) {
    delete chunk;
    return;
  }
  chunk->next = free_;
  free_ = chunk;
  ++kept_;
}

}  // namespace valkyrie::protocol
