// Memory for output, shared by all sessions of a thread, so that an idle session owns none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace valkyrie::protocol {

// A piece of output memory, or of memory that somebody else keeps. Only OutputQueue and BufferPool
// look inside.
struct Chunk {
  static constexpr std::uint32_t kBytes = 32 * 1024 - 64;
  // What a small one holds: the header of a frame whose payload is shared, with little metadata.
  static constexpr std::uint32_t kSmallBytes = 64;

  Chunk* next = nullptr;
  std::byte* at = nullptr;              // Its bytes: behind it, or the owner's.
  std::shared_ptr<const void> owner{};  // Keeps bytes that are not its own.
  std::uint32_t capacity = 0;
  std::uint32_t end = 0;   // Bytes filled.
  std::uint32_t live = 0;  // Bytes filled and neither written nor dropped.
  std::uint16_t lane = 0;  // The lane it was filled by.
  bool small = false;
};
static_assert(sizeof(Chunk) + Chunk::kBytes <= 32 * 1024);

// Hands out chunks and keeps some of those given back. Grows without limit: the sessions' own
// limits bound it. Not thread-safe: it belongs to the thread of its sessions.
class BufferPool {
 public:
  // Keeps at most `kept_max` free chunks of each kind; further ones go back to the system.
  explicit BufferPool(std::size_t kept_max = 64) : kept_max_(kept_max) {}
  // REQUIRES: every chunk was released.
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // An empty chunk. Never null.
  [[nodiscard]] Chunk* acquire() { return take(full_, Chunk::kBytes); }
  // An empty chunk of kSmallBytes. Never null.
  [[nodiscard]] Chunk* acquire_small() { return take(small_, Chunk::kSmallBytes); }
  // Takes a chunk back and lets go of its owner.
  void release(Chunk* chunk);
  // Chunks handed out and not released.
  [[nodiscard]] std::size_t in_use() const { return in_use_; }

 private:
  struct Kept {
    Chunk* first = nullptr;
    std::size_t count = 0;
  };

  Chunk* take(Kept& kept, std::uint32_t bytes);
  static void destroy(Chunk* chunk);

  Kept full_;
  Kept small_;
  std::size_t kept_max_;
  std::size_t in_use_ = 0;
};

}  // namespace valkyrie::protocol
