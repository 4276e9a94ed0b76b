#include "tools/valkyrie/services_watch.h"

#include <cstdio>
#include <fmt/format.h>
#include <thread>
#include <utility>

#include "tools/valkyrie/interrupt.h"

namespace valkyrie::tools {
namespace {

using RegistryStream = Stream<Bytes, Bytes>;

// Prints events, and counts what it has printed.
class Printer {
 public:
  Printer(const Globals& globals, std::uint64_t count) : globals_(globals), left_(count) {}

  // True once enough is printed.
  [[nodiscard]] bool done() const { return done_; }

  void operator()(const messages::WatchSnapshot& snapshot) {
    for (const messages::ServiceView& service : snapshot.services) {
      for (const messages::InstanceView& instance : service.instances) {
        print("is", service.name, instance, snapshot.revision);
      }
    }
  }
  void operator()(const messages::WatchChange& change) {
    print(change.removed ? "gone" : "now", change.service, change.instance, change.revision);
  }

 private:
  void print(std::string_view event, const std::string& service,
             const messages::InstanceView& instance, std::uint64_t revision) {
    if (done_) return;
    if (globals_.format == Format::json || globals_.format == Format::jsonl) {
      json::object line =
          event == "gone" ? json::object{{"instance", instance.instance}} : instance_json(instance);
      line["event"] = event;
      line["service"] = service;
      line["revision"] = revision;
      print_json(line);
    } else if (event == "gone") {
      fmt::print("{:<4}  {}  {}\n", event, service, instance.instance);
    } else {
      fmt::print("{:<4}  {}  {}  {}  weight {}{}{}\n", event, service, instance.instance,
                 messages::to_string(instance.state), instance.weight,
                 instance.reason.empty() ? "" : "  ", instance.reason);
    }
    static_cast<void>(std::fflush(stdout));
    if (left_ > 0 && --left_ == 0) done_ = true;
  }

  const Globals& globals_;
  std::uint64_t left_;
  bool done_ = false;
};

// Reads until enough is printed, the stream ends or Ctrl-C came, whose end is nothing to report.
int follow(RegistryStream& stream, Printer& printer, const Interrupt& interrupt) {
  while (!printer.done()) {
    auto message = stream.read().wait();
    if (interrupt.requested()) return kExitInterrupted;
    if (!message) return report(message.error());
    if (!*message) return kExitDone;
    const auto event = messages::decode<messages::WatchEvent>(BytesView(**message).span());
    if (!event) {
      print_error("the node's event cannot be read; is it of a newer version?");
      return kExitStatusBase + static_cast<int>(StatusCode::internal);
    }
    std::visit(printer, *event);
  }
  return kExitDone;
}

}  // namespace

int run_services_watch(const Globals& globals, const std::string& prefix, std::uint64_t count) {
  auto client = connect(globals);
  if (!client) return client.error();
  RegistryStream stream = client->stream("valkyrie.Registry/Watch", {.deadline = kNoDeadline});
  const Interrupt interrupt;
  const std::string request = messages::encode(messages::WatchRequest{.prefix = prefix});
  if (auto begun = stream.write(Bytes::copy(request)).wait(); !begun) return report(begun.error());
  // Reading blocks this thread, so another one waits for Ctrl-C.
  std::jthread canceller([&] {
    if (interrupt.wait()) stream.cancel();
  });
  Printer printer(globals, count);
  const int code = follow(stream, printer, interrupt);
  interrupt.wake();
  return code;
}

}  // namespace valkyrie::tools
