// Serving: what an application offers to callers.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "valkyrie/bytes.h"
#include "valkyrie/metadata.h"
#include "valkyrie/options.h"
#include "valkyrie/pending.h"
#include "valkyrie/status.h"
#include "valkyrie/task.h"

namespace valkyrie {

namespace detail {
class Incoming;
class Registration;
}  // namespace detail

// Who a caller was proven to be by the node. Both empty: the node knows no one.
struct Identity {
  std::string subject;  // The user, service or runner.
  std::string tenant;   // The space of names it lives in.
};

// A call as its handler holds it. Movable; may outlive the handler's return and be moved to another
// thread. All members may be used by any thread.
class IncomingCall {
 public:
  // For the library: owns a reference to `incoming`.
  explicit IncomingCall(detail::Incoming* incoming) noexcept : incoming_(incoming) {}
  IncomingCall(IncomingCall&& other) noexcept
      : incoming_(std::exchange(other.incoming_, nullptr)) {}
  IncomingCall& operator=(IncomingCall&& other) noexcept {
    std::swap(incoming_, other.incoming_);
    return *this;
  }
  ~IncomingCall() {
    if (incoming_ != nullptr) release();
  }

  // Who calls. Valid as long as this object.
  [[nodiscard]] const Identity& caller() const noexcept;
  // "service/method" as it was registered. Valid as long as this object.
  [[nodiscard]] std::string_view method() const noexcept;
  // Time until the caller stops caring, zero when it has; kNoDeadline if it always cares.
  [[nodiscard]] Duration remaining() const noexcept;
  // Whether the caller gave up or is gone, or its time is over. Nothing is killed: a handler that
  // takes long asks now and then.
  [[nodiscard]] bool cancelled() const noexcept;
  // Stop is requested when the caller gives up or is gone; callbacks run on the loop.
  [[nodiscard]] std::stop_token cancel_token() const;
  // What the caller sent along. Valid as long as this object.
  [[nodiscard]] const Metadata& metadata() const noexcept;
  // The caller's name for this call across repetitions; empty: none. Valid as long as this object.
  [[nodiscard]] std::string_view idempotency_key() const noexcept;

  // For the library.
  [[nodiscard]] detail::Incoming* incoming() const noexcept { return incoming_; }

 private:
  void release() noexcept;

  detail::Incoming* incoming_;
};

// The duty to answer one call. Movable, to any thread. The first answer counts, later ones are
// ignored; dropping it unanswered answers INTERNAL "handler dropped its reply".
class Reply {
 public:
  // For the library: owns a reference to `incoming`.
  explicit Reply(detail::Incoming* incoming) noexcept : incoming_(incoming) {}
  Reply(Reply&& other) noexcept : incoming_(std::exchange(other.incoming_, nullptr)) {}
  Reply& operator=(Reply&& other) noexcept {
    std::swap(incoming_, other.incoming_);
    return *this;
  }
  ~Reply() {
    if (incoming_ != nullptr) drop();
  }

  // Answers with `body`, which is copied. Over the caller's message limit the call ends as
  // resource_exhausted, executed.
  void send(BytesView body) noexcept;
  // Answers with a failure. REQUIRES: !status.ok()
  void fail(const Status& status) noexcept;
  // Answers with either.
  void finish(const Result<Bytes>& result) noexcept;

  // For the library: gives the reference up.
  [[nodiscard]] detail::Incoming* release() noexcept { return std::exchange(incoming_, nullptr); }

 private:
  void drop() noexcept;

  detail::Incoming* incoming_;
};

namespace detail {

// A user's handler behind one face.
class Handler {
 public:
  explicit Handler(bool blocking) noexcept : blocking_(blocking) {}
  virtual ~Handler() = default;
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;

  // Handles one call. On the loop it may throw: the server turns that into an answer.
  virtual void run(IncomingCall call, BytesView body, Reply reply) = 0;
  // Whether run() belongs on the pool rather than the loop.
  [[nodiscard]] bool blocking() const noexcept { return blocking_; }

 private:
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

template <class F>
class HandlerOf final : public Handler {
 public:
  explicit HandlerOf(F function) : Handler(BlockingHandler<F>), function_(std::move(function)) {}

  void run(IncomingCall call, BytesView body, Reply reply) override {
    if constexpr (CallbackHandler<F>) {
      function_(call, body, std::move(reply));
    } else if constexpr (CoroutineHandler<F>) {
      Task<Result<Bytes>> task = function_(std::move(call), Bytes::copy(body));
      std::move(task).start(
          [](void* incoming, Result<Bytes>&& result) noexcept {
            Reply(static_cast<Incoming*>(incoming)).finish(result);
          },
          reply.release());
    } else {
      Result<Bytes> result;
      try {
        result = function_(call, body);
      } catch (...) {
        result = std::unexpected(status_of_current_exception());
      }
      reply.finish(result);
    }
  }

 private:
  F function_;
};

}  // namespace detail

// How a service registers.
struct ServiceOptions {
  // Calls the node has in this instance at once, over all methods.
  std::uint32_t in_flight_max = 256;
  // Shown in lists; callers may ask for it by `name@version`.
  std::string version{};
  // The same across reconnects and restarts: a second one takes the first one's place. Empty:
  // chosen by the node at the first registration.
  std::string instance{};
  // Share of the calls beside other instances, 1 to 1000.
  std::uint32_t weight = 100;
  // Name-value pairs for lists, at most 64.
  std::vector<std::pair<std::string, std::string>> labels{};
};

// What a method declares.
struct MethodOptions {
  // It may run twice without harm: the node and callers may repeat it.
  bool idempotent = false;
  // What a call gets that names no deadline. 0: 30 s.
  Duration timeout{};
};

// A named set of handlers. Build it, then give it to Client::serve(). Not thread-safe.
class Service {
 public:
  // `name` is as callers write it before the slash, such as "hello.Greeter".
  explicit Service(std::string_view name, ServiceOptions options = {});
  Service(Service&&) noexcept;
  Service& operator=(Service&&) noexcept;
  ~Service();

  // Adds a unary method. The type of `handler` chooses its thread:
  //
  //   Task<Result<Bytes>>(IncomingCall, Bytes)  a coroutine, on the loop; must not block.
  //   Result<Bytes>(IncomingCall&, BytesView)   on a bounded pool of threads; may block. Several
  //                                             run at once.
  //   void(IncomingCall&, BytesView, Reply)     a callback, on the loop; must not block. The view
  //                                             dies with it.
  //
  // A handler that throws answers INTERNAL with the exception's text. The handler is destroyed with
  // the client, or when its registration has ended and its last call is over. A second handler of
  // the same name takes the place of the first.
  template <class F>
  Service& unary(std::string_view method, F handler, MethodOptions options = {}) {
    static_assert(
        detail::CallbackHandler<F> || detail::CoroutineHandler<F> || detail::BlockingHandler<F>,
        "see the three forms of a handler above");
    add(method, options, std::make_unique<detail::HandlerOf<F>>(std::move(handler)));
    return *this;
  }

  // The name it was made with.
  [[nodiscard]] const std::string& name() const noexcept;

  // For the library: what was built.
  struct Definition;
  [[nodiscard]] std::unique_ptr<Definition> take() && noexcept;

 private:
  void add(std::string_view method, MethodOptions options,
           std::unique_ptr<detail::Handler> handler);

  std::unique_ptr<Definition> definition_;
};

// A client's registration of a service. It lives until drain() or the end of the client and is
// renewed after each reconnect; dropping this handle changes nothing. Copyable; any thread.
class Instance {
 public:
  // For the library.
  explicit Instance(std::shared_ptr<detail::Registration> registration) noexcept
      : registration_(std::move(registration)) {}

  // The instance's name, as lists show it.
  [[nodiscard]] std::string name() const;
  // Takes no new calls; done when the running ones are answered, or fails with deadline_exceeded
  // after `grace`. The registration is over in any case.
  [[nodiscard]] Pending<void> drain(Duration grace = std::chrono::seconds{30});

 private:
  std::shared_ptr<detail::Registration> registration_;
};

namespace detail {

template <>
struct Decode<Instance> {
  static Result<Instance> from(Delivery& delivery) {
    if (!delivery.status.ok()) return std::unexpected(std::move(delivery.status));
    return Instance(std::static_pointer_cast<Registration>(std::move(delivery.object)));
  }
};

}  // namespace detail

}  // namespace valkyrie
