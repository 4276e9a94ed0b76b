#include "valkyrie/client.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

#include "protocol/assert.h"
#include "sdk/cpp/src/core.h"
#include "transport/socket.h"

namespace valkyrie {

Call<Bytes> Method::call(BytesView body, const CallOptions& options) const {
  return Call<Bytes>(&binding_->core.caller().call(*binding_, body, options));
}

Result<void> Method::notify(BytesView body) const {
  return binding_->core.caller().notify(*binding_, body);
}

Result<Client> Client::connect(Address address, ClientOptions options) {
  auto core = detail::Core::connect(address, std::move(options));
  if (!core) return std::unexpected(std::move(core.error()));
  return Client(std::move(*core));
}

Client::Client(detail::CoreHandle core) noexcept : core_(std::move(core)) {}

Client::Client(Client&&) noexcept = default;

Client& Client::operator=(Client&& other) noexcept {
  if (this != &other) {
    if (core_ != nullptr) core_->close(Duration::zero());
    core_ = std::move(other.core_);
  }
  return *this;
}

Client::~Client() {
  if (core_ != nullptr) core_->close(Duration::zero());
}

Method Client::method(Target target, const CallOptions& defaults) {
  return Method(core_->caller().bind(target, defaults));
}

Call<Bytes> Client::call(Target target, BytesView body, const CallOptions& options) {
  return Call<Bytes>(&core_->caller().call(target.text(), body, options));
}

Result<void> Client::notify(Target target, BytesView body) {
  return core_->caller().notify(target.text(), body);
}

detail::StreamHandle Client::open_stream(Target target, const CallOptions& options) {
  return core_->streams().open(target, options);
}

Result<void> Client::publish(Subject subject, BytesView payload, const PublishOptions& options) {
  return core_->publisher().publish(subject, payload, options);
}

Pending<Receipt> Client::publish_acked(Subject subject, BytesView payload, AckLevel level,
                                       const PublishOptions& options) {
  return Pending<Receipt>(&core_->publisher().publish_acked(subject, payload, level, options));
}

Result<Subscription> Client::subscribe(Subject filter, const SubscribeOptions& options) {
  return subscribe(filter, options, {});
}

Result<Subscription> Client::subscribe(Subject filter, const SubscribeOptions& options,
                                       std::function<void(const PublicationView&)> handler) {
  auto handle = core_->subscriptions().open(filter, options, std::move(handler));
  if (!handle) return std::unexpected(std::move(handle.error()));
  return Subscription(std::move(*handle));
}

Pending<Instance> Client::serve(Service service) {
  return Pending<Instance>(&core_->server().serve(std::move(service)));
}

Pending<void> Client::flush() { return Pending<void>(&core_->flush()); }

void Client::spawn(Task<Result<void>> task) { core_->spawn(std::move(task)); }

void Client::close(Duration grace) { core_->close(grace); }

std::string Client::node_url() const { return core_->node_url(); }

namespace {

// What a signal handler may touch: written once a signal has come.
std::atomic<int> signal_event{-1};

extern "C" void on_signal(int) {
  const int saved = errno;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(signal_event.load(std::memory_order_acquire), &one, sizeof one));
  errno = saved;
}

}  // namespace

void run_until_signal(Client& client, Duration grace) {
  const transport::Socket event(::eventfd(0, EFD_CLOEXEC));
  VALKYRIE_ASSERT(event.fd() >= 0);
  signal_event.store(event.fd(), std::memory_order_release);
  struct sigaction action{};
  action.sa_handler = on_signal;
  ::sigemptyset(&action.sa_mask);
  struct sigaction on_term{};
  struct sigaction on_interrupt{};
  ::sigaction(SIGTERM, &action, &on_term);
  ::sigaction(SIGINT, &action, &on_interrupt);
  std::uint64_t count = 0;
  while (::read(event.fd(), &count, sizeof count) < 0 && errno == EINTR) {
  }
  ::sigaction(SIGTERM, &on_term, nullptr);
  ::sigaction(SIGINT, &on_interrupt, nullptr);
  client.close(grace);
}

}  // namespace valkyrie
