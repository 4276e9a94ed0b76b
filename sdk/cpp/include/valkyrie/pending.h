// The end of an operation that is still to come.
#pragma once

#include <coroutine>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "valkyrie/detail/operation.h"
#include "valkyrie/metadata.h"
#include "valkyrie/status.h"

namespace valkyrie {

namespace detail {

// What a completion of Pending<T> is called with: a Bytes is offered as a borrowed view first.
template <class T, class F>
using CompletionArgument =
    std::conditional_t<std::is_same_v<T, Bytes> && std::is_invocable_v<F&, Result<BytesView>>,
                       BytesView, T>;

// What came along with the end of a call; nullptr: nothing.
[[nodiscard]] inline std::shared_ptr<const Metadata> metadata_of(const Delivery& delivery) {
  return std::static_pointer_cast<const Metadata>(delivery.object);
}

// Suspends a coroutine until the operation ends; `metadata` is where that of a call goes.
template <class T>
class Awaiter {
 public:
  explicit Awaiter(Operation* operation,
                   std::shared_ptr<const Metadata>* metadata = nullptr) noexcept
      : operation_(operation), metadata_(metadata) {}
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
      if (self->metadata_ != nullptr) *self->metadata_ = metadata_of(*delivery);
      self->result_.emplace(Decode<T>::from(*delivery));
      self->waiting_.resume();
    };
    attach(*operation_);
  }
  [[nodiscard]] Result<T> await_resume() { return std::move(*result_); }

 private:
  Operation* operation_;
  std::shared_ptr<const Metadata>* metadata_;
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
    return std::move(*this).wait_with([](const detail::Delivery&) {});
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
    std::move(*this).on_end([done = std::forward<F>(done)](detail::Delivery& delivery) mutable {
      done(detail::Decode<Value>::from(delivery));
    });
  }

  // Suspends the coroutine until the end; resumes it on the loop with the Result<T>.
  [[nodiscard]] auto operator co_await() && noexcept { return detail::Awaiter<T>(take()); }

  // Lets the operation go on; its end interests nobody.
  void detach() && noexcept { detail::detach(*std::exchange(operation_, nullptr)); }

 protected:
  // The operation; nullptr once it was taken.
  [[nodiscard]] detail::Operation* operation() const noexcept { return operation_; }
  // Takes it: nothing else may be done with this any more.
  [[nodiscard]] detail::Operation* take() noexcept { return std::exchange(operation_, nullptr); }
  // As then(), with what is delivered.
  template <class F>
  void on_end(F&& done) && {
    using Closure = std::remove_cvref_t<F>;
    static_assert(sizeof(Closure) <= detail::kClosureBytesMax,
                  "capture at most 48 bytes: a pointer to what is larger");
    static_assert(alignof(Closure) <= alignof(std::max_align_t));
    detail::Operation& operation = *take();
    new (static_cast<void*>(operation.closure)) Closure(std::forward<F>(done));
    operation.run = [](void* memory, detail::Delivery* delivery) noexcept {
      auto* closure = static_cast<Closure*>(memory);
      if (delivery != nullptr) (*closure)(*delivery);
      closure->~Closure();
    };
    detail::attach(operation);
  }
  // As wait(); `see` is called with what is delivered.
  template <class See>
  [[nodiscard]] Result<T> wait_with(See see) && {
    detail::Gate gate(*operation_);
    std::optional<Result<T>> ended;
    std::move(*this).on_end([&gate, &ended, &see](detail::Delivery& delivery) {
      see(delivery);
      ended.emplace(detail::Decode<T>::from(delivery));
      gate.open();
    });
    gate.wait();
    return std::move(*ended);
  }

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

  // As Pending::wait().
  [[nodiscard]] Result<T> wait() && {
    return std::move(*this).wait_with(
        [this](const detail::Delivery& delivery) { metadata_ = detail::metadata_of(delivery); });
  }
  // As Pending::then(); a `done` that takes a `const Metadata&` beside the result gets that of the
  // answer, borrowed until it returns.
  template <class F>
  void then(F&& done) && {
    using Closure = std::remove_cvref_t<F>;
    if constexpr (std::is_invocable_v<Closure&, Result<T>, const Metadata&>) {
      std::move(*this).on_end([done = std::forward<F>(done)](detail::Delivery& delivery) mutable {
        const auto metadata = detail::metadata_of(delivery);
        done(detail::Decode<T>::from(delivery), metadata == nullptr ? Metadata() : *metadata);
      });
    } else {
      std::move(static_cast<Pending<T>&>(*this)).then(std::forward<F>(done));
    }
  }
  // As that of Pending. For metadata() the call has to be a variable.
  [[nodiscard]] auto operator co_await() && noexcept {
    return detail::Awaiter<T>(this->take(), &metadata_);
  }

  // What the service has sent along with its answer, or its failure. Empty before the result was
  // taken by wait() or co_await. Valid until this object is changed.
  [[nodiscard]] const Metadata& metadata() const noexcept {
    static const Metadata none;
    return metadata_ == nullptr ? none : *metadata_;
  }

 private:
  std::shared_ptr<const Metadata> metadata_;
};

}  // namespace valkyrie
