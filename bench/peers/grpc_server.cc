// The service end of the gRPC rows: the asynchronous server of gRPC C++ with one completion queue
// and one thread, as the load end has. Direct: gRPC has no relay of its own.

#include <cstdio>
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <memory>
#include <string>

#include "bench/load.h"
#include "echo.grpc.pb.h"

namespace valkyrie::bench {
namespace {

// One call slot: waits for a request, answers it, then deletes itself. Its address is the tag.
class EchoCall {
 public:
  EchoCall(Echo::AsyncService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue), writer_(&context_) {
    service_.RequestCall(&context_, &request_, &writer_, &queue_, &queue_, this);
  }

  // The queue returned this tag.
  void proceed(bool ok) {
    if (!ok || answered_) {
      delete this;
      return;
    }
    new EchoCall(service_, queue_);
    answered_ = true;
    writer_.Finish(request_, grpc::Status::OK, this);
  }

 private:
  Echo::AsyncService& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  EchoMessage request_;
  grpc::ServerAsyncResponseWriter<EchoMessage> writer_;
  bool answered_ = false;
};

constexpr int kWaitingCalls = 1024;  // Calls taken without another trip through the queue.

int server_main(int argc, const char* const* argv) {
  const auto url = parse_url_option(argc, argv);
  if (!url) {
    fmt::print(stderr, "{}\n", url.error());
    return 2;
  }
  Echo::AsyncService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(*url, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    fmt::print(stderr, "grpc_server: cannot listen on {}\n", *url);
    return 1;
  }
  for (int call = 0; call < kWaitingCalls; ++call) new EchoCall(service, *queue);
  fmt::print("ready\n");
  std::fflush(stdout);
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<EchoCall*>(tag)->proceed(ok);
  return 0;
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::server_main(argc, argv); }
