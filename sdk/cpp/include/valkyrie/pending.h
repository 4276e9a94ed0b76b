// The end of an operation that is still to come.
#pragma once

#include <coroutine>
#include <cstddef>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "valkyrie/detail/operation.h"
#include "valkyrie/status.h"

namespace valkyrie {

namespace detail {

// What a completion of Pending<T> is called with: a Bytes is offered as a borrowed view first.
template <class T, class F>
using CompletionArgument =
    std::conditional_t<std::is_same_v<T, Bytes> && std::is_invocable_v<F&, Result<BytesView>>,
                       BytesView, T>;

// Suspends a coroutine until the operation ends.
template <class T>
class Awaiter {
 public:
  explicit Awaiter(Operation* operation) noexcept : operation_(operation) {}
  Awaiter(const Awaiter&) = delete;
  Awaiter& operator=(const Awaiter&) = delete;
  ~Awaiter() {
    if (operation_ != nullptr) drop(*operation_);
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  // Another thread may resume the coroutine before this returns: nothing is touched after attach.
  void await_suspend(std::coroutine_handle<> waiting) noexcept {
    waiting_ = waiting;
    new (static_cast<void*>(operation_->closure)) Awaiter*(this);
    operation_->run = [](void* closure, Delivery* delivery) noexcept {
      if (delivery == nullptr) return;
      Awaiter* self = *static_cast<Awaiter**>(closure);
      self->operation_ = nullptr;
      self->result_.emplace(Decode<T>::from(*delivery));
      self->waiting_.resume();
    };
    attach(*operation_);
  }
  [[nodiscard]] Result<T> await_resume() { return std::move(*result_); }

 private:
  Operation* operation_;
  std::coroutine_handle<> waiting_;
  std::optional<Result<T>> result_;
};

}  // namespace detail

// The result of an operation that has begun. Take it in one of four ways, each at most once:
// wait(), then(), co_await, detach(). Dropping it unused cancels the operation.
//
// Movable; one thread at a time. It may outlive its Client: the result is then CANCELLED.
template <class T>
class [[nodiscard]] Pending {
 public:
  // For the library: owns `operation`.
  explicit Pending(detail::Operation* operation) noexcept : operation_(operation) {}
  Pending(Pending&& other) noexcept : operation_(std::exchange(other.operation_, nullptr)) {}
  Pending& operator=(Pending&& other) noexcept {
    if (this != &other) {
      abandon();
      operation_ = std::exchange(other.operation_, nullptr);
    }
    return *this;
  }
  ~Pending() { abandon(); }

  // Blocks until the end. On the client's loop, in a callback or a coroutine, this would wait for
  // ever: it aborts and names the handler; use co_await or then() there.
  [[nodiscard]] Result<T> wait() && {
    detail::Gate gate(*operation_);
    std::optional<Result<T>> ended;
    std::move(*this).then([&gate, &ended](Result<T> result) {
      ended.emplace(std::move(result));
      gate.open();
    });
    gate.wait();
    return std::move(*ended);
  }

  // Calls `done(Result<T>)` once, later, on the loop, which must not be blocked. For T = Bytes a
  // `done` that takes Result<BytesView> borrows the payload until it returns, without a copy.
  // A closure of more than 48 bytes does not compile. It must not throw. If the client's loop has
  // ended already, `done` runs at once on this thread.
  template <class F>
  void then(F&& done) && {
    using Closure = std::remove_cvref_t<F>;
    using Value = detail::CompletionArgument<T, Closure>;
    static_assert(std::is_invocable_v<Closure&, Result<Value>>,
                  "the closure must take the result of the operation");
    static_assert(sizeof(Closure) <= detail::kClosureBytesMax,
                  "capture at most 48 bytes: a pointer to what is larger");
    static_assert(alignof(Closure) <= alignof(std::max_align_t));
    detail::Operation& operation = *std::exchange(operation_, nullptr);
    new (static_cast<void*>(operation.closure)) Closure(std::forward<F>(done));
    operation.run = [](void* memory, detail::Delivery* delivery) noexcept {
      auto* closure = static_cast<Closure*>(memory);
      if (delivery != nullptr) (*closure)(detail::Decode<Value>::from(*delivery));
      closure->~Closure();
    };
    detail::attach(operation);
  }

  // Suspends the coroutine until the end; resumes it on the loop with the Result<T>.
  [[nodiscard]] auto operator co_await() && noexcept {
    return detail::Awaiter<T>(std::exchange(operation_, nullptr));
  }

  // Lets the operation go on; its end interests nobody.
  void detach() && noexcept { detail::detach(*std::exchange(operation_, nullptr)); }

 protected:
  // The operation; nullptr once it was taken.
  [[nodiscard]] detail::Operation* operation() const noexcept { return operation_; }

 private:
  void abandon() noexcept {
    if (operation_ != nullptr) detail::drop(*operation_);
  }

  detail::Operation* operation_;
};

// A call in progress.
template <class T>
class [[nodiscard]] Call : public Pending<T> {
 public:
  using Pending<T>::Pending;

  // Ends the call as CANCELLED and asks the service to give up. The result is still to be taken
  // and says by its outcome what is known. No effect on a call that is over. Any thread.
  // REQUIRES: the result was not taken yet.
  void cancel() noexcept { detail::cancel(*this->operation()); }
};

}  // namespace valkyrie
