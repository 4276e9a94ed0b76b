// A process's tie to a node: it calls, publishes and serves.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "valkyrie/bytes.h"
#include "valkyrie/loop.h"
#include "valkyrie/options.h"
#include "valkyrie/pending.h"
#include "valkyrie/service.h"
#include "valkyrie/status.h"
#include "valkyrie/stream.h"
#include "valkyrie/subscription.h"
#include "valkyrie/task.h"

namespace valkyrie {

namespace detail {
class Binding;
class Core;
// Keeps the memory of a client alive, not its loop.
struct CoreRelease {
  void operator()(Core* core) const noexcept;
};
using CoreHandle = std::unique_ptr<Core, CoreRelease>;
}  // namespace detail

// What to call: "service/method", such as "hello.Greeter/SayHello" or "hello.Greeter@2/SayHello".
// Borrows the text. A target that makes no sense ends its call as invalid_argument.
class Target {
 public:
  // Borrows `text`.
  Target(std::string_view text) noexcept : text_(text) {}
  // Borrows `text`.
  Target(const char* text) noexcept : text_(text) {}
  // Borrows `text`.
  Target(const std::string& text) noexcept : text_(text) {}

  // The whole.
  [[nodiscard]] std::string_view text() const noexcept { return text_; }

 private:
  std::string_view text_;
};

// A target bound once: each call on it sends header and payload alone. Copyable; any thread. It may
// outlive its client: calls then end as cancelled, not executed.
class Method {
 public:
  // For the library.
  explicit Method(std::shared_ptr<detail::Binding> binding) noexcept
      : binding_(std::move(binding)) {}

  // Calls. `body` is copied before this returns. On the loop it goes straight into the connection's
  // output, without a queue or an allocation; from elsewhere it is handed to the loop.
  Call<Bytes> call(BytesView body, const CallOptions& options = {}) const;
  // Sends a message that is never answered; at most once. `body` is copied. OK says that it was
  // taken, not that it arrived. Errors: cancelled after close, resource_exhausted, and what the
  // target or the message is refused for.
  Result<void> notify(BytesView body) const;

 private:
  std::shared_ptr<detail::Binding> binding_;
};

// A tie to one node at a time. All callbacks and coroutines run on its loop: a thread that it owns,
// or ClientOptions::loop. All members may be used by any thread.
//
// A lost connection is dialled again for ever, with backoff; registrations are renewed. What was
// sent by then ends as unavailable with its true outcome; what was not waits for the new
// connection, up to its deadline and ClientOptions::waiting_bytes_max.
//
// Retries: a call that ends as unavailable, not executed (or is idempotent or has a key), is made
// again up to twice inside its deadline. All attempts beyond the first, hedged ones included, are
// at most a tenth of all calls, and ten.
class Client {
 public:
  // Connects, blocking, for at most ClientOptions::connect_timeout. The error names every address
  // tried and why it failed. Errors: unavailable, invalid_argument for an address,
  // failed_precondition in a turn of ClientOptions::loop unless ClientOptions::lazy.
  [[nodiscard]] static Result<Client> connect(Address address = {}, ClientOptions options = {});

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  // As close(0s): what is in flight ends as cancelled, its callbacks run before this returns. On
  // the loop itself (a callback destroys its client) they run soon after this has returned.
  ~Client();

  // Binds `target` and `defaults` for many calls. No round trip; errors are those of its calls.
  // `metadata`, `cancel` and `parent` of the defaults are ignored.
  [[nodiscard]] Method method(Target target, const CallOptions& defaults = {});
  // Calls once; bindings are kept, so that it costs one look-up more than Method::call().
  Call<Bytes> call(Target target, BytesView body, const CallOptions& options = {});
  // As Method::notify().
  Result<void> notify(Target target, BytesView body);
  // Opens a stream. Errors are those of its reads and writes.
  template <class O = Bytes, class I = Bytes>
  [[nodiscard]] Stream<O, I> stream(Target target, const CallOptions& options = {}) {
    return Stream<O, I>(open_stream(target, options));
  }

  // Publishes a message that is never acknowledged; at most once. `payload` is copied. OK says that
  // it was taken, not that it arrived: flush() tells that. Nothing waits for subscribers. Errors:
  // invalid_argument, permission_denied for a subject of the node, resource_exhausted if it is
  // longer than the node takes or ClientOptions::waiting_bytes_max of messages wait already (then
  // wait for flush(), and go on), cancelled after close. What the node refuses later is logged.
  Result<void> publish(Subject subject, BytesView payload, const PublishOptions& options = {});
  // Publishes a message; done when it has come as far as `level` says. At most once; a failure that
  // says not_executed may be repeated safely. A connection takes 4,096 of them (or what the node
  // says) at a time, more wait. Errors: those of publish(), failed_precondition for a level that
  // the node does not offer, unavailable, deadline_exceeded.
  [[nodiscard]] Pending<Receipt> publish_acked(Subject subject, BytesView payload,
                                               AckLevel level = AckLevel::received,
                                               const PublishOptions& options = {});
  // Subscribes to the messages of a filter, to be taken by Subscription::next(). Holds from the
  // moment the node has read it: wait for flush() where that matters. What the node refuses comes
  // out of next(). Errors: invalid_argument for a filter or group that breaks the rules,
  // permission_denied for subjects of the node, cancelled after close.
  [[nodiscard]] Result<Subscription> subscribe(Subject filter,
                                               const SubscribeOptions& options = {});
  // The same, with a `handler` that is called on the loop for each message, one after another; the
  // credit of a message returns when it returns. It must neither block nor throw.
  [[nodiscard]] Result<Subscription> subscribe(Subject filter, const SubscribeOptions& options,
                                               std::function<void(const PublicationView&)> handler);

  // Registers the service; done when callers can reach it. Fails if the node refuses it; a node
  // that is away is waited for. Errors: already_exists when this client serves that name.
  [[nodiscard]] Pending<Instance> serve(Service service);

  // Done when the node has read everything sent before.
  [[nodiscard]] Pending<void> flush();
  // Runs `task` on the loop. Its failure is logged (ClientOptions::log).
  void spawn(Task<Result<void>> task);
  // Ends the client: registrations are drained, calls in both directions may finish and messages
  // may leave for up to `grace`, then they end as cancelled. Subscriptions with a handler are
  // drained, others end at once. When this returns every callback has run exactly once and
  // a loop of its own has ended; later operations end as cancelled, not executed. On the loop it
  // only begins the end. Idempotent.
  void close(Duration grace = std::chrono::seconds{30});

  // The URL of the node in use; empty while there is none.
  [[nodiscard]] std::string node_url() const;

 private:
  explicit Client(detail::CoreHandle core) noexcept;

  [[nodiscard]] detail::StreamHandle open_stream(Target target, const CallOptions& options);

  detail::CoreHandle core_;
};

// Blocks until SIGTERM or SIGINT, then closes the client with `grace`. A second signal acts as it
// did before this call. For main(): one call at a time in a process.
void run_until_signal(Client& client, Duration grace = std::chrono::seconds{30});

}  // namespace valkyrie
