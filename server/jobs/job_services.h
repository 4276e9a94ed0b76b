// valkyrie.Jobs and valkyrie.Runners: the job plane as services of the node. docs/spec/jobs.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>

#include "server/jobs/job_plane.h"
#include "server/jobs/job_store.h"
#include "server/policy/gate.h"
#include "server/router/local_service.h"

namespace valkyrie::jobs {

// Both services and the plane between them. Lives on shard 0; one thread.
class JobServices {
 public:
  // Their names and methods.
  static const router::LocalServiceInfo kJobsInfo;
  static const router::LocalServiceInfo kRunnersInfo;

  // Starts without jobs and runners. Both stores outlive this.
  JobServices(JobPlaneOptions options, JobStore& store, LogStore& logs);
  JobServices(const JobServices&) = delete;
  JobServices& operator=(const JobServices&) = delete;

  // To be added to the router of shard 0, which must not outlive this object.
  [[nodiscard]] router::LocalService& jobs() { return jobs_; }
  [[nodiscard]] router::LocalService& runners() { return runners_; }
  // What the store held when it was opened. Before anything else, at most once.
  void recover(StoredJobs stored, protocol::Instant now) { plane_.recover(std::move(stored), now); }
  // The job store says that more of its changes are durable.
  void on_durable();
  // The log store has news.
  void on_log_news();
  // The plane, to look at.
  [[nodiscard]] const JobPlane& plane() const { return plane_; }

 private:
  // A stream of either service, until the router has said that it is over.
  struct Peer {
    router::LocalStream stream;
    std::shared_ptr<policy::Gate> gate{};
    std::uint8_t qos = protocol::kQosDefault;
    bool may_read = true;  // Of Jobs/Run: its caller gets the output.
    bool watches = false;  // Of Jobs/Watch, not of Jobs/Run.
    bool asked = false;    // Its RunRequest or WatchJobRequest came.
    bool blocked = false;  // send() said stop.
    bool over = false;     // Ended by this side: what still comes is dropped.
  };
  using Peers = std::unordered_map<std::uint64_t, Peer>;  // By id of the stream.

  class Jobs final : public router::LocalService {
   public:
    explicit Jobs(JobServices& of) : of_(of) {}
    void on_request(router::LocalCall call, const router::LocalRequest& request,
                    protocol::Instant now) override;
    void on_stream(router::LocalStream stream, const router::LocalOpen& open,
                   protocol::Instant now) override;
    void on_message(router::LocalStream stream, const router::LocalMessage& message,
                    protocol::Instant now) override;
    void on_writable(router::LocalStream stream, protocol::Instant now) override;
    void on_end(router::LocalStream stream, protocol::Instant now) override;
    void on_closed(router::LocalStream stream, protocol::CloseCode code,
                   protocol::Instant now) override;
    void on_drain(protocol::Duration grace, protocol::Instant now) override;
    [[nodiscard]] std::optional<protocol::Instant> deadline() const override;
    void on_deadline(protocol::Instant now) override;

   private:
    void submit_all(router::LocalCall call, const router::LocalRequest& request,
                    protocol::Instant now);
    void cancel(router::LocalCall call, const router::LocalRequest& request, protocol::Instant now);
    void on_run(Peer& peer, std::span<const std::byte> body, protocol::Instant now);
    void on_watch(Peer& peer, std::span<const std::byte> body, protocol::Instant now);
    void submit(Peer& peer, messages::RunRequest request, protocol::Instant now);

    JobServices& of_;
  };

  class Runners final : public router::LocalService {
   public:
    explicit Runners(JobServices& of) : of_(of) {}
    void on_request(router::LocalCall call, const router::LocalRequest& request,
                    protocol::Instant now) override;
    void on_stream(router::LocalStream stream, const router::LocalOpen& open,
                   protocol::Instant now) override;
    void on_message(router::LocalStream stream, const router::LocalMessage& message,
                    protocol::Instant now) override;
    void on_writable(router::LocalStream stream, protocol::Instant now) override;
    void on_end(router::LocalStream stream, protocol::Instant now) override;
    void on_closed(router::LocalStream stream, protocol::CloseCode code,
                   protocol::Instant now) override;

   private:
    JobServices& of_;
  };

  void respond_once_durable(router::LocalCall call, std::string body, Change after);
  static void end(Peer& peer, const Refused& why);
  void pump();
  void write_events(FollowerId stream);
  void write_messages(RunnerId runner);
  static void dismiss(Peers& peers, std::uint64_t stream, const Refused& why);

  // An answer that promises what is not durable yet.
  struct Promised {
    router::LocalCall call;
    std::string body;
  };

  JobStore& store_;
  JobPlane plane_;
  std::multimap<Change, Promised> promised_;
  Peers followers_;
  Peers runner_peers_;
  Jobs jobs_{*this};
  Runners runners_{*this};
};

}  // namespace valkyrie::jobs
