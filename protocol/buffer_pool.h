// Memory for output, shared by all sessions of a thread, so that an idle session owns none.
#pragma once

#include <cstddef>
#include <cstdint>

namespace valkyrie::protocol {

// A piece of output memory. Only OutputQueue and BufferPool look inside.
struct Chunk {
  static constexpr std::uint32_t kBytes = 32 * 1024 - 32;

  Chunk* next = nullptr;
  std::uint32_t end = 0;   // Bytes filled.
  std::uint32_t live = 0;  // Bytes filled and neither written nor dropped.
  std::uint16_t lane = 0;  // The lane it was filled by.
  std::byte data[kBytes];
};
static_assert(sizeof(Chunk) <= 32 * 1024);

// Hands out chunks and keeps some of those given back. Grows without limit: the sessions' own
// limits bound it. Not thread-safe: it belongs to the thread of its sessions.
class BufferPool {
 public:
  // Keeps at most `kept_max` free chunks; further ones go back to the system.
  explicit BufferPool(std::size_t kept_max = 64) : kept_max_(kept_max) {}
  // REQUIRES: every chunk was released.
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // An empty chunk. Never null.
  [[nodiscard]] Chunk* acquire();
  // Takes a chunk back.
  void release(Chunk* chunk);
  // Chunks handed out and not released.
  [[nodiscard]] std::size_t in_use() const { return in_use_; }

 private:
  Chunk* free_ = nullptr;
  std::size_t kept_ = 0;
  std::size_t kept_max_;
  std::size_t in_use_ = 0;
};

}  // namespace valkyrie::protocol
