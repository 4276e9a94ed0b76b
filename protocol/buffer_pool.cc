#include "protocol/buffer_pool.h"

#include <new>

#include "protocol/assert.h"

namespace valkyrie::protocol {

BufferPool::~BufferPool() {
  VALKYRIE_ASSERT(in_use_ == 0);
  for (Kept* kept : {&full_, &small_}) {
    while (kept->first != nullptr) {
      Chunk* chunk = kept->first;
      kept->first = chunk->next;
      destroy(chunk);
    }
  }
}

Chunk* BufferPool::take(Kept& kept, std::uint32_t bytes) {
  ++in_use_;
  Chunk* chunk = kept.first;
  if (chunk == nullptr) {
    void* memory = ::operator new(sizeof(Chunk) + bytes);
    chunk = new (memory) Chunk{.small = bytes == Chunk::kSmallBytes};
  } else {
    kept.first = chunk->next;
    --kept.count;
  }
  chunk->next = nullptr;
  chunk->at = reinterpret_cast<std::byte*>(chunk + 1);
  chunk->capacity = bytes;
  chunk->end = 0;
  chunk->live = 0;
  return chunk;
}

void BufferPool::release(Chunk* chunk) {
  --in_use_;
  chunk->owner.reset();
  Kept& kept = chunk->small ? small_ : full_;
  if (kept.count == kept_max_) return destroy(chunk);
  chunk->next = kept.first;
  kept.first = chunk;
  ++kept.count;
}

void BufferPool::destroy(Chunk* chunk) {
  chunk->~Chunk();
  ::operator delete(chunk);
}

}  // namespace valkyrie::protocol
