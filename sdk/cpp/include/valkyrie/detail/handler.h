// The forms that handlers have, and the one face that the library gives them. Not an interface for
// users.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "valkyrie/bytes.h"
#include "valkyrie/incoming_call.h"
#include "valkyrie/status.h"
#include "valkyrie/stream.h"
#include "valkyrie/task.h"

namespace valkyrie::detail {

// The shape of a method; numbered as the registry does (docs/spec/registry.md).
enum class HandlerKind : std::uint8_t { unary = 0, server_stream, client_stream, bidi };

// A user's handler behind one face.
class Handler {
 public:
  Handler(HandlerKind kind, bool blocking) noexcept : kind_(kind), blocking_(blocking) {}
  virtual ~Handler() = default;
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;

  // Handles one call. `body` is the request of those that have one, else empty. On the loop it may
  // throw: the server turns that into an answer.
  virtual void run(IncomingCall call, BytesView body, Reply reply) = 0;
  // What it takes and gives.
  [[nodiscard]] HandlerKind kind() const noexcept { return kind_; }
  // Whether run() belongs on the pool rather than the loop.
  [[nodiscard]] bool blocking() const noexcept { return blocking_; }

 private:
  const HandlerKind kind_;
  const bool blocking_;
};

template <class F>
concept CallbackHandler = std::is_invocable_r_v<void, F&, IncomingCall&, BytesView, Reply>;
template <class F>
concept CoroutineHandler =
    std::is_invocable_r_v<Task<Result<Bytes>>, F&, IncomingCall, Bytes> && !CallbackHandler<F>;
template <class F>
concept BlockingHandler =
    std::is_invocable_r_v<Result<Bytes>, F&, IncomingCall&, BytesView> && !CallbackHandler<F>;

// What a handler's end answers: the message, if it gives one.
inline Result<Bytes> answer_of(Result<Bytes>&& result) { return std::move(result); }
inline Result<Bytes> answer_of(Result<void>&& result) {
  if (!result) return std::unexpected(std::move(result.error()));
  return Bytes();
}
template <class O>
Result<Bytes> answer_of(Result<O>&& result) {
  if (!result) return std::unexpected(std::move(result.error()));
  return Codec<O>::encode(*result);
}

// Runs a coroutine whose end is the answer.
template <class R>
void answer_with(Task<R> task, Reply reply) {
  std::move(task).start(
      [](void* incoming, R&& result) noexcept {
        Reply(static_cast<Incoming*>(incoming)).finish(answer_of(std::move(result)));
      },
      reply.release());
}

// Answers with what `work` returns or throws.
template <class F>
void answer_with(F&& work, Reply reply) {
  Result<Bytes> result;
  try {
    result = answer_of(work());
  } catch (...) {
    result = std::unexpected(status_of_current_exception());
  }
  reply.finish(result);
}

// A unary handler.
template <class F>
class HandlerOf final : public Handler {
 public:
  explicit HandlerOf(F function)
      : Handler(HandlerKind::unary, BlockingHandler<F>), function_(std::move(function)) {}

  void run(IncomingCall call, BytesView body, Reply reply) override {
    if constexpr (CallbackHandler<F>) {
      function_(call, body, std::move(reply));
    } else if constexpr (CoroutineHandler<F>) {
      answer_with(function_(std::move(call), Bytes::copy(body)), std::move(reply));
    } else {
      answer_with([&] { return function_(call, body); }, std::move(reply));
    }
  }

 private:
  F function_;
};

// The signature of what can be called in one way only: a function, or an object without overloads
// or templates. `Plain` is it without references and const.
template <class F>
struct SignatureOf;
template <class F>
  requires requires { &F::operator(); }
struct SignatureOf<F> : SignatureOf<decltype(&F::operator())> {};
template <class R, class... A>
struct SignatureOf<R (*)(A...)> {
  using Plain = R(std::remove_cvref_t<A>...);
  static constexpr bool kOwnsArguments = !(std::is_reference_v<A> || ...);
  template <std::size_t N>
  using Argument = std::tuple_element_t<N, std::tuple<A...>>;
};
template <class R, class... A>
struct SignatureOf<R (*)(A...) noexcept> : SignatureOf<R (*)(A...)> {};
template <class R, class C, class... A>
struct SignatureOf<R (C::*)(A...)> : SignatureOf<R (*)(A...)> {};
template <class R, class C, class... A>
struct SignatureOf<R (C::*)(A...) const> : SignatureOf<R (*)(A...)> {};
template <class R, class C, class... A>
struct SignatureOf<R (C::*)(A...) noexcept> : SignatureOf<R (*)(A...)> {};
template <class R, class C, class... A>
struct SignatureOf<R (C::*)(A...) const noexcept> : SignatureOf<R (*)(A...)> {};

// What a plain signature says of its method.
template <class Plain>
struct StreamForm;
template <class I, class O>
struct StreamForm<Task<Result<void>>(IncomingCall, I, Writer<O>)> {
  static constexpr HandlerKind kKind = HandlerKind::server_stream;
  static constexpr bool kBlocking = false;
  using Request = I;
};
template <class I, class O>
struct StreamForm<Result<void>(IncomingCall, I, Writer<O>)> {
  static constexpr HandlerKind kKind = HandlerKind::server_stream;
  static constexpr bool kBlocking = true;
  using Request = I;
};
template <class O, class I>
struct StreamForm<Task<Result<O>>(IncomingCall, Reader<I>)> {
  static constexpr HandlerKind kKind = HandlerKind::client_stream;
  static constexpr bool kBlocking = false;
};
template <class O, class I>
struct StreamForm<Result<O>(IncomingCall, Reader<I>)> {
  static constexpr HandlerKind kKind = HandlerKind::client_stream;
  static constexpr bool kBlocking = true;
};
template <class I, class O>
struct StreamForm<Task<Result<void>>(IncomingCall, Reader<I>, Writer<O>)> {
  static constexpr HandlerKind kKind = HandlerKind::bidi;
  static constexpr bool kBlocking = false;
};
template <class I, class O>
struct StreamForm<Result<void>(IncomingCall, Reader<I>, Writer<O>)> {
  static constexpr HandlerKind kKind = HandlerKind::bidi;
  static constexpr bool kBlocking = true;
};

// A coroutine must own its arguments: what a reference names is gone at its first co_await.
template <class F, HandlerKind kind>
concept StreamHandler =
    requires {
      typename SignatureOf<F>::Plain;
      StreamForm<typename SignatureOf<F>::Plain>::kKind;
    } && StreamForm<typename SignatureOf<F>::Plain>::kKind == kind &&
    (StreamForm<typename SignatureOf<F>::Plain>::kBlocking || SignatureOf<F>::kOwnsArguments);

// A handler of a stream.
template <class F>
class StreamHandlerOf final : public Handler {
  using Signature = SignatureOf<F>;
  using Form = StreamForm<typename Signature::Plain>;
  template <std::size_t N>
  using Argument = typename Signature::template Argument<N>;

 public:
  explicit StreamHandlerOf(F function)
      : Handler(Form::kKind, Form::kBlocking), function_(std::move(function)) {}

  void run(IncomingCall call, BytesView body, Reply reply) override {
    if constexpr (Form::kKind == HandlerKind::server_stream) {
      run_request(call, body, std::move(reply));
    } else {
      std::remove_cvref_t<Argument<1>> reader(*call.incoming());
      if constexpr (Form::kKind == HandlerKind::client_stream) {
        invoke(std::move(reply), call, reader);
      } else {
        std::remove_cvref_t<Argument<2>> writer(*call.incoming());
        invoke(std::move(reply), call, reader, writer);
      }
    }
  }

 private:
  void run_request(IncomingCall& call, BytesView body, Reply reply) {
    using Request = typename Form::Request;
    std::remove_cvref_t<Argument<2>> writer(*call.incoming());
    if constexpr (std::is_same_v<Request, BytesView>) {
      static_assert(Form::kBlocking, "a coroutine owns its request: take Bytes");
      invoke(std::move(reply), call, body, writer);
    } else {
      Result<Request> request = Codec<Request>::decode(Bytes::copy(body));
      if (!request) return reply.fail(request.error());
      invoke(std::move(reply), call, *request, writer);
    }
  }

  // Each argument as the handler takes it: moved into a value, or referred to.
  template <class... A>
  void invoke(Reply reply, A&... arguments) {
    [&]<std::size_t... N>(std::index_sequence<N...>) {
      if constexpr (Form::kBlocking) {
        answer_with([&] { return function_(static_cast<Argument<N>&&>(arguments)...); },
                    std::move(reply));
      } else {
        answer_with(function_(static_cast<Argument<N>&&>(arguments)...), std::move(reply));
      }
    }(std::index_sequence_for<A...>());
  }

  F function_;
};

}  // namespace valkyrie::detail
