// A small closure that can be handed to another thread.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace valkyrie::transport {

// Runs once, moves cheaply, never allocates: a closure larger than 48 bytes does not compile.
class Task {
 public:
  // Bytes. Six pointers: enough for `this`, a reference and a small result.
  static constexpr std::size_t kClosureBytesMax = 48;

  Task() = default;
  // Takes any nothrow-movable callable of no arguments.
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, Task> &&
             std::is_invocable_v<std::remove_cvref_t<F>&>)
  Task(F&& function) {  // NOLINT: implicit, so that post([..] { .. }) reads well.
    using Closure = std::remove_cvref_t<F>;
    static_assert(sizeof(Closure) <= kClosureBytesMax, "the closure is too large for a Task");
    static_assert(alignof(Closure) <= alignof(std::max_align_t));
    static_assert(std::is_nothrow_move_constructible_v<Closure>);
    new (static_cast<void*>(closure_)) Closure(std::forward<F>(function));
    operations_ = &kOperationsOf<Closure>;
  }
  Task(Task&& other) noexcept : operations_(std::exchange(other.operations_, nullptr)) {
    if (operations_ != nullptr) operations_->move(closure_, other.closure_);
  }
  Task& operator=(Task&& other) noexcept {
    if (this == &other) return *this;
    reset();
    operations_ = std::exchange(other.operations_, nullptr);
    if (operations_ != nullptr) operations_->move(closure_, other.closure_);
    return *this;
  }
  ~Task() { reset(); }

  // True while there is a closure to run.
  explicit operator bool() const { return operations_ != nullptr; }
  // Runs the closure. REQUIRES: the task is not empty.
  void operator()() { operations_->run(closure_); }

 private:
  struct Operations {
    void (*run)(void* closure);
    void (*move)(void* to, void* from) noexcept;  // Destroys `from`.
    void (*destroy)(void* closure) noexcept;
  };
  template <class Closure>
  static constexpr Operations kOperationsOf{
      .run = [](void* closure) { (*static_cast<Closure*>(closure))(); },
      .move =
          [](void* to, void* from) noexcept {
            auto* source = static_cast<Closure*>(from);
            new (to) Closure(std::move(*source));
            source->~Closure();
          },
      .destroy = [](void* closure) noexcept { static_cast<Closure*>(closure)->~Closure(); }};

  void reset() {
    if (operations_ != nullptr) std::exchange(operations_, nullptr)->destroy(closure_);
  }

  const Operations* operations_ = nullptr;
  alignas(std::max_align_t) std::byte closure_[kClosureBytesMax];
};

}  // namespace valkyrie::transport
