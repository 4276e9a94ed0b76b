// Coroutines of handlers and of Client::spawn().
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "valkyrie/status.h"

namespace valkyrie {

namespace detail {

// Memory for coroutine frames, from a pool of the thread: no allocation in steady state.
[[nodiscard]] void* allocate_frame(std::size_t bytes);
void free_frame(void* frame, std::size_t bytes) noexcept;

// The Status of the exception being handled: INTERNAL with its text.
[[nodiscard]] Status status_of_current_exception() noexcept;

template <class T>
struct IsResult : std::false_type {};
template <class T>
struct IsResult<Result<T>> : std::true_type {};

}  // namespace detail

// A coroutine that ends in a Result. Lazy: it runs when it is awaited by another, given to
// Client::spawn(), or returned by a handler. An exception that leaves it becomes INTERNAL with its
// text. Move-only; destroying it before it ran destroys its arguments.
//
// Take arguments by value: a reference of the caller may be gone after the first co_await. GCC 12
// miscompiles temporaries that own memory inside a co_await expression: name them first.
template <class T>
class [[nodiscard]] Task {
  static_assert(detail::IsResult<T>::value, "a Task ends in a Result");

 public:
  // What the compiler asks for; not for users.
  class promise_type {
   public:
    // Called at the end instead of resuming a coroutine; the frame is destroyed afterwards.
    using Done = void (*)(void* context, T&& result) noexcept;

    // The steps of a coroutine, called by what the compiler makes of it.
    [[nodiscard]] Task get_return_object() noexcept { return Task(Handle::from_promise(*this)); }
    [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
    [[nodiscard]] auto final_suspend() const noexcept { return AtEnd{}; }
    void return_value(T value) { result_.emplace(std::move(value)); }
    // What an escaping exception becomes.
    void unhandled_exception() noexcept {
      result_.emplace(std::unexpected(detail::status_of_current_exception()));
    }

    static void* operator new(std::size_t bytes) { return detail::allocate_frame(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept {
      detail::free_frame(frame, bytes);
    }

   private:
    friend class Task;

    std::optional<T> result_;
    std::coroutine_handle<> awaiting_;
    Done done_ = nullptr;
    void* context_ = nullptr;
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  // Runs the task and resumes the awaiting coroutine at its end.
  [[nodiscard]] auto operator co_await() && noexcept { return Awaited(std::move(*this)); }

  // For the library: runs the task now; `done(context, result)` follows once, at its end.
  void start(typename promise_type::Done done, void* context) && {
    auto handle = std::exchange(handle_, nullptr);
    handle.promise().done_ = done;
    handle.promise().context_ = context;
    handle.resume();
  }

 private:
  using Handle = std::coroutine_handle<promise_type>;

  struct AtEnd {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(Handle ended) const noexcept {
      promise_type& promise = ended.promise();
      if (promise.done_ == nullptr) return promise.awaiting_;
      promise.done_(promise.context_, std::move(*promise.result_));
      ended.destroy();
      return std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };

  class Awaited {
   public:
    explicit Awaited(Task task) noexcept : task_(std::move(task)) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    [[nodiscard]] std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiting) noexcept {
      task_.handle_.promise().awaiting_ = waiting;
      return task_.handle_;
    }
    [[nodiscard]] T await_resume() { return std::move(*task_.handle_.promise().result_); }

   private:
    Task task_;
  };

  explicit Task(Handle handle) noexcept : handle_(handle) {}

  Handle handle_;
};

}  // namespace valkyrie
