#include <array>
#include <cstddef>
#include <new>

#include "valkyrie/task.h"

namespace valkyrie::detail {
namespace {

// Frames of handlers are 200 bytes to a few kilobytes. A class holds frames of up to its number
// times kGrain bytes; what is larger goes to the heap each time.
constexpr std::size_t kGrain = 128;
constexpr std::size_t kClasses = 32;
// Frames kept per class and thread: enough for the calls in flight of a busy loop.
constexpr std::size_t kKeptMax = 1024;

struct Free {
  Free* next;
};

class FramePool {
 public:
  ~FramePool() {
    for (Class& one : classes_) {
      while (one.first != nullptr) {
        Free* dead = one.first;
        one.first = dead->next;
        ::operator delete(dead);
      }
    }
  }

  void* allocate(std::size_t index) {
    Class& one = classes_[index];
    if (one.first == nullptr) return ::operator new((index + 1) * kGrain);
    Free* frame = one.first;
    one.first = frame->next;
    --one.kept;
    return frame;
  }

  void free(void* frame, std::size_t index) noexcept {
    Class& one = classes_[index];
    if (one.kept == kKeptMax) {
      ::operator delete(frame);
      return;
    }
    one.first = new (frame) Free{one.first};
    ++one.kept;
  }

 private:
  struct Class {
    Free* first = nullptr;
    std::size_t kept = 0;
  };
  std::array<Class, kClasses> classes_{};
};

thread_local FramePool frames;

}  // namespace

void* allocate_frame(std::size_t bytes) {
  const std::size_t index = (bytes - 1) / kGrain;
  return index < kClasses ? frames.allocate(index) : ::operator new(bytes);
}

void free_frame(void* frame, std::size_t bytes) noexcept {
  const std::size_t index = (bytes - 1) / kGrain;
  if (index < kClasses) {
    frames.free(frame, index);
  } else {
    ::operator delete(frame);
  }
}

}  // namespace valkyrie::detail
