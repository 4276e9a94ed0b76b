// Serving: what an application offers to callers.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "valkyrie/bytes.h"
#include "valkyrie/detail/handler.h"
#include "valkyrie/incoming_call.h"
#include "valkyrie/options.h"
#include "valkyrie/pending.h"
#include "valkyrie/status.h"
#include "valkyrie/stream.h"
#include "valkyrie/task.h"

namespace valkyrie {

namespace detail {
class Registration;
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
  // What a call gets that names no deadline. 0: 30 s; streams: none.
  Duration timeout{};
  // Unary: requests or replies may be over the limit of a call (4 MiB), up to 16 MiB. Callers then
  // use a stream: one message each way.
  bool large = false;
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

  // Adds a method that answers one message with many. The form of `handler` chooses its thread; I
  // and O are types with a Codec, such as Bytes and std::string:
  //
  //   Task<Result<void>>(IncomingCall, I, Writer<O>)   a coroutine, on the loop; must not block.
  //   Result<void>(IncomingCall&, I, Writer<O>)        on the pool, a thread of it for as long as
  //                                                    the stream; may block. I may be BytesView.
  //
  // What it returns is the end of the call, after all that was written. A caller that gives up
  // stops cancel_token(), and reads and writes then fail. Exceptions and lifetime as of unary().
  template <class F>
  Service& server_stream(std::string_view method, F handler, MethodOptions options = {}) {
    static_assert(detail::StreamHandler<F, detail::HandlerKind::server_stream>,
                  "see the forms of a handler above");
    add(method, options, std::make_unique<detail::StreamHandlerOf<F>>(std::move(handler)));
    return *this;
  }

  // Adds a method that answers many messages with one; otherwise as server_stream():
  //
  //   Task<Result<O>>(IncomingCall, Reader<I>)   on the loop.
  //   Result<O>(IncomingCall&, Reader<I>)        on the pool.
  //
  // It may return before it has read all: what the caller still sends is then dropped.
  template <class F>
  Service& client_stream(std::string_view method, F handler, MethodOptions options = {}) {
    static_assert(detail::StreamHandler<F, detail::HandlerKind::client_stream>,
                  "see the forms of a handler above");
    add(method, options, std::make_unique<detail::StreamHandlerOf<F>>(std::move(handler)));
    return *this;
  }

  // Adds a method of many messages both ways; otherwise as server_stream():
  //
  //   Task<Result<void>>(IncomingCall, Reader<I>, Writer<O>)   on the loop.
  //   Result<void>(IncomingCall&, Reader<I>, Writer<O>)        on the pool.
  template <class F>
  Service& bidi(std::string_view method, F handler, MethodOptions options = {}) {
    static_assert(detail::StreamHandler<F, detail::HandlerKind::bidi>,
                  "see the forms of a handler above");
    add(method, options, std::make_unique<detail::StreamHandlerOf<F>>(std::move(handler)));
    return *this;
  }

  // Answers the node's probes in place of the usual OK, which says that the loop turns. `handler`
  // has a form of unary(); any failure but unimplemented says that the instance is not well, with
  // its text for people. It must answer within the node's `probe.timeout`. A blocking one waits for
  // its turn on the pool, and so finds one that is stuck.
  template <class F>
  Service& health(F handler) {
    static_assert(
        detail::CallbackHandler<F> || detail::CoroutineHandler<F> || detail::BlockingHandler<F>,
        "see the three forms of a handler of unary()");
    set_health(std::make_unique<detail::HandlerOf<F>>(std::move(handler)));
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
  void set_health(std::unique_ptr<detail::Handler> handler);

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
  // Tells the node whether this instance takes calls; it does at first. What runs goes on. Holds
  // across reconnects; without effect once the registration is over.
  void report_health(bool healthy);
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
