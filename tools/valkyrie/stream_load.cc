#include "tools/valkyrie/stream_load.h"

#include <fmt/format.h>
#include <memory>
#include <unistd.h>
#include <utility>
#include <vector>

#include "tools/valkyrie/load_clock.h"
#include "tools/valkyrie/loop_thread.h"

namespace valkyrie::tools {

namespace {

// What one client has counted. Belongs to the client's loop.
struct Tally {
  std::uint64_t messages = 0;
  std::uint64_t errors = 0;
  std::optional<Status> first_error;

  void fail(const Status& status) {
    ++errors;
    if (!first_error) first_error = status;
  }

  void add_to(StreamLoadResult& result) const {
    result.messages += messages;
    result.errors += errors;
    if (!result.first_error) result.first_error = first_error;
  }
};

// Writes messages until the window ends; how writing ended.
template <class Out>
Task<Result<void>> fill(Out& out, Bytes message, const Window& window) {
  while (now_ns() < window.end_ns) {
    Result<void> written = co_await out.write(message);
    if (!written) co_return written;
  }
  co_return Result<void>{};
}

// Reads to the end and counts what comes inside the window; how reading ended.
template <class In>
Task<Result<void>> drain(In& in, const Window& window, Tally& tally) {
  while (true) {
    Result<std::optional<Bytes>> message = co_await in.read();
    if (!message) co_return std::unexpected(std::move(message.error()));
    if (!*message) co_return Result<void>{};
    if (window.contains(now_ns())) ++tally.messages;
  }
}

// The service at the other end of all streams.
class Serving {
 public:
  Serving(Client client, Bytes message, const Window& window)
      : client_(std::move(client)), message_(std::move(message)), window_(window) {}

  [[nodiscard]] Result<void> serve(const std::string& name) {
    Service service(name);
    service.client_stream("Up", [this](IncomingCall, Reader<> in) { return take(std::move(in)); })
        .server_stream("Down",
                       [this](IncomingCall, Bytes, Writer<> out) { return give(std::move(out)); });
    const auto instance = client_.serve(std::move(service)).wait();
    if (!instance) return std::unexpected(instance.error());
    return {};
  }

  void finish(StreamLoadResult& result) {
    client_.close();
    tally_.add_to(result);
  }

 private:
  Task<Result<Bytes>> take(Reader<> in) {
    Result<void> ended = co_await drain(in, window_, tally_);
    if (!ended) co_return std::unexpected(std::move(ended.error()));
    co_return Bytes();
  }

  Task<Result<void>> give(Writer<> out) {
    Result<void> ended = co_await fill(out, message_, window_);
    co_return ended;
  }

  Client client_;
  const Bytes message_;
  const Window& window_;
  Tally tally_;
};

// The streams of one connection.
class Calling {
 public:
  Calling(Client client, std::string service, Bytes message, const Window& window)
      : client_(std::move(client)),
        service_(std::move(service)),
        message_(std::move(message)),
        window_(window) {}

  void run(const StreamLoadOptions& options) {
    for (std::uint32_t i = 0; i < options.streams; ++i) {
      if (options.direction != StreamDirection::download) client_.spawn(upload());
      if (options.direction != StreamDirection::upload) client_.spawn(download());
    }
  }

  // Waits for the clean end of the streams.
  void finish(StreamLoadResult& result) {
    client_.close();
    tally_.add_to(result);
  }

 private:
  Stream<> open(std::string_view method) {
    return client_.stream(fmt::format("{}/{}", service_, method), {.deadline = kNoDeadline});
  }

  Task<Result<void>> upload() {
    Stream<> stream = open("Up");
    Result<void> ended = co_await fill(stream, message_, window_);
    stream.finish();
    if (ended) {
      const Result<std::optional<Bytes>> reply = co_await stream.read();
      if (!reply) ended = std::unexpected(reply.error());
    }
    if (!ended) tally_.fail(ended.error());
    co_return Result<void>{};
  }

  Task<Result<void>> download() {
    Stream<> stream = open("Down");
    const Bytes request;
    Result<void> ended = co_await stream.write(request);
    stream.finish();
    if (ended) ended = co_await drain(stream, window_, tally_);
    if (!ended) tally_.fail(ended.error());
    co_return Result<void>{};
  }

  Client client_;
  const std::string service_;
  const Bytes message_;
  const Window& window_;
  Tally tally_;
};

using Callers = std::vector<std::unique_ptr<Calling>>;

std::expected<std::unique_ptr<Serving>, int> open_service(const Globals& globals,
                                                          const StreamLoadOptions& options,
                                                          Loops& loops, const std::string& name,
                                                          const Bytes& message,
                                                          const Window& window) {
  Globals own = globals;
  if (!options.service_node.empty()) own.node = options.service_node;
  auto client = connect(own, &loops.back()->loop());
  if (!client) return std::unexpected(client.error());
  auto serving = std::make_unique<Serving>(std::move(*client), message, window);
  if (auto served = serving->serve(name); !served) return std::unexpected(report(served.error()));
  return serving;
}

std::expected<Callers, int> open_callers(const Globals& globals, const StreamLoadOptions& options,
                                         Loops& loops, const std::string& name,
                                         const Bytes& message, const Window& window) {
  Callers callers;
  // The last loop is the service's, unless it is the only one.
  const std::size_t shared = loops.size() > 1 ? loops.size() - 1 : 1;
  for (std::uint32_t i = 0; i < options.connections; ++i) {
    auto client = connect(globals, &loops[i % shared]->loop());
    if (!client) return std::unexpected(client.error());
    callers.push_back(std::make_unique<Calling>(std::move(*client), name, message, window));
  }
  return callers;
}

}  // namespace

std::string_view to_string(StreamDirection direction) {
  switch (direction) {
    case StreamDirection::upload:
      return "upload";
    case StreamDirection::download:
      return "download";
    case StreamDirection::both:
      return "both";
  }
  return "unknown";
}

std::expected<StreamLoadResult, int> generate_stream_load(const Globals& globals,
                                                          const StreamLoadOptions& options) {
  Window window;
  const std::string name = fmt::format("bench.Stream-{}", ::getpid());
  const Bytes message = Bytes::take(std::string(options.size, 'x'));
  auto loops = start_loops(options.loops);
  if (!loops) return std::unexpected(loops.error());
  auto service = open_service(globals, options, *loops, name, message, window);
  if (!service) return std::unexpected(service.error());
  auto callers = open_callers(globals, options, *loops, name, message, window);
  if (!callers) return std::unexpected(callers.error());
  window.begin_ns = now_ns() + static_cast<std::uint64_t>(options.warmup.count());
  window.end_ns = window.begin_ns + static_cast<std::uint64_t>(options.time.count());
  for (const auto& caller : *callers) caller->run(options);
  sleep_until_ns(window.end_ns);
  StreamLoadResult result;
  for (const auto& caller : *callers) caller->finish(result);
  (*service)->finish(result);
  result.seconds = static_cast<double>(options.time.count()) / 1e9;
  return result;
}

}  // namespace valkyrie::tools
