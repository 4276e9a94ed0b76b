#include "runner/session.h"

#include <mutex>
#include <optional>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::runner {

// Where the SDK's loop leaves events. Shared with its callbacks, which may outlive the session.
struct Session::Inbox {
  Inbox() : fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { VALKYRIE_ASSERT(fd >= 0); }
  ~Inbox() { close(fd); }
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  void put(std::uint64_t generation, SessionEvent event) {
    {
      const std::lock_guard lock(mutex);
      events.emplace_back(generation, std::move(event));
    }
    constexpr std::uint64_t kOne = 1;
    (void)!::write(fd, &kOne, sizeof kOne);
  }

  const int fd;
  std::mutex mutex;
  std::vector<std::pair<std::uint64_t, SessionEvent>> events;  // Guarded by mutex.
};

Session::Session(Client& client) : client_(client), inbox_(std::make_shared<Inbox>()) {}

Session::~Session() { reset(); }

int Session::wake_fd() const { return inbox_->fd; }

void Session::open() {
  VALKYRIE_ASSERT(!is_open());
  ++generation_;
  writing_ = false;
  CallOptions options;
  options.deadline = kNoDeadline;
  options.qos = Qos::job;
  stream_ = std::make_shared<Stream<>>(client_.stream("valkyrie.Runners/Work", options));
  read_next(stream_, inbox_, generation_);
}

void Session::read_next(const std::shared_ptr<Stream<>>& stream,
                        const std::shared_ptr<Inbox>& inbox, std::uint64_t generation) {
  stream->read().then([stream, inbox, generation](Result<std::optional<Bytes>> read) {
    if (!read) {
      inbox->put(generation, {.kind = SessionEvent::Kind::ended, .text = read.error().to_string()});
      return;
    }
    if (!*read) {
      inbox->put(generation, {.kind = SessionEvent::Kind::ended, .text = "the node ended it"});
      return;
    }
    auto message = messages::decode<messages::NodeMessage>(BytesView(**read).span());
    if (!message) {
      inbox->put(generation,
                 {.kind = SessionEvent::Kind::ended, .text = "the node sent what is no message"});
      return;
    }
    inbox->put(generation, {.message = std::move(*message)});
    read_next(stream, inbox, generation);
  });
}

void Session::write(const messages::RunnerMessage& message) {
  VALKYRIE_ASSERT(may_write());
  writing_ = true;
  stream_->write(Bytes::take(encode(message)))
      .then([inbox = inbox_, generation = generation_](const Result<void>& written) {
        // A failed write is followed by a failed read, which tells why.
        if (written) inbox->put(generation, {.kind = SessionEvent::Kind::written});
      });
}

void Session::reset() {
  if (stream_) stream_->cancel();
  stream_.reset();
}

std::vector<SessionEvent> Session::take_events() {
  std::uint64_t count = 0;
  (void)!::read(inbox_->fd, &count, sizeof count);
  std::vector<std::pair<std::uint64_t, SessionEvent>> taken;
  {
    const std::lock_guard lock(inbox_->mutex);
    taken.swap(inbox_->events);
  }
  std::vector<SessionEvent> events;
  for (auto& [generation, event] : taken) {
    if (generation != generation_ || !is_open()) continue;  // Of a stream already given up.
    if (event.kind == SessionEvent::Kind::written) writing_ = false;
    if (event.kind == SessionEvent::Kind::ended) stream_.reset();
    events.push_back(std::move(event));
  }
  return events;
}

}  // namespace valkyrie::runner
