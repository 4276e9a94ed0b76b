#include "tools/valkyrie/exec_stream.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <mutex>
#include <optional>
#include <poll.h>
#include <unistd.h>
#include <utility>

#include "tools/valkyrie/shell_process.h"

namespace valkyrie::tools {

namespace {

// What the client's loop has to tell the thread that runs the program. Shared, since the last of it
// may come when the thread has gone.
class Mailbox {
 public:
  using Message = Result<std::optional<Bytes>>;

  [[nodiscard]] bool ok() const { return wake_.ok(); }
  [[nodiscard]] int fd() const { return wake_.reading(); }

  // Any thread.
  void put_message(Message message) {
    const std::lock_guard lock(mutex_);
    message_ = std::move(message);
    wake();
  }
  void put_written(Result<void> written) {
    const std::lock_guard lock(mutex_);
    written_ = std::move(written);
    wake();
  }
  void put_stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    wake();
  }

  struct Content {
    std::optional<Message> message;
    std::optional<Result<void>> written;
    bool stopped = false;
  };
  // Takes what has come. To be called when fd() can be read.
  Content take() {
    std::array<char, 64> bytes;
    (void)!read(wake_.reading(), bytes.data(), bytes.size());
    const std::lock_guard lock(mutex_);
    return {.message = std::exchange(message_, std::nullopt),
            .written = std::exchange(written_, std::nullopt),
            .stopped = stopped_};
  }

 private:
  // At most three bytes are ever in the pipe that were not followed by take().
  void wake() { (void)!write(wake_.writing(), "x", 1); }

  Pipe wake_;
  std::mutex mutex_;
  std::optional<Message> message_;  // Guarded by mutex_, as all below.
  std::optional<Result<void>> written_;
  bool stopped_ = false;
};

// One stream and its process: at most one message on its way in, one on its way out.
class StreamRun {
 public:
  StreamRun(Reader<>& in, Writer<>& out) : in_(in), out_(out) {}

  [[nodiscard]] Result<void> run(const std::string& command, std::stop_token stop) {
    const int error = mailbox_->ok() ? process_.start(command) : errno;
    if (error != 0) {
      return fail(StatusCode::internal, fmt::format("cannot start sh: {}", std::strerror(error)));
    }
    {
      const std::stop_callback on_stop(std::move(stop), [box = mailbox_] { box->put_stop(); });
      while (error_.ok() && !finished()) step();
    }
    if (!error_.ok()) process_.kill_group();
    Status ended = process_.wait();
    if (!error_.ok()) return std::unexpected(std::move(error_));
    if (!ended.ok()) return std::unexpected(std::move(ended));
    return {};
  }

 private:
  [[nodiscard]] bool finished() const {
    return process_.silent() && sent_ == lines_.size() && !writing_;
  }

  void step() {
    if (input_left_.empty() && process_.input() >= 0 && !reading_) read_next();
    if (!writing_) write_next();
    if (!error_.ok()) return;
    std::array<pollfd, 4> fds = {pollfd{input_left_.empty() ? -1 : process_.input(), POLLOUT, 0},
                                 pollfd{writing_ ? -1 : process_.output(), POLLIN, 0},
                                 pollfd{process_.error_output(), POLLIN, 0},
                                 pollfd{mailbox_->fd(), POLLIN, 0}};
    if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) {
      error_ = Status(StatusCode::internal, "poll() failed");
      return;
    }
    if (fds[3].revents != 0) take_mail();
    if (fds[0].revents != 0 && process_.input() >= 0) process_.feed(input_left_);
    if (process_.input() < 0) input_left_ = {};
    if (fds[1].revents != 0) process_.take_output(lines_);
    if (fds[2].revents != 0) process_.take_error_output();
  }

  void read_next() {
    reading_ = true;
    in_.read().then(
        [box = mailbox_](Mailbox::Message message) { box->put_message(std::move(message)); });
  }

  // Sends the first whole line; at the end of the output also what is left.
  void write_next() {
    const std::size_t end = lines_.find('\n', searched_);
    searched_ = lines_.size();
    const bool last = process_.output() < 0 && sent_ < lines_.size();
    if (end == std::string::npos && !last) return keep_part();
    const std::string_view line = std::string_view(lines_).substr(sent_, end - sent_);
    sent_ = searched_ = end == std::string::npos ? lines_.size() : end + 1;
    writing_ = true;
    out_.write(Bytes::copy(line)).then([box = mailbox_](Result<void> written) {
      box->put_written(std::move(written));
    });
  }

  // What is left is a part of a line.
  void keep_part() {
    lines_.erase(0, std::exchange(sent_, 0));
    searched_ = lines_.size();
    if (lines_.size() <= kExecLineBytesMax) return;
    error_ =
        Status(StatusCode::resource_exhausted,
               fmt::format("the program wrote a line of more than {} bytes", kExecLineBytesMax));
  }

  void take_mail() {
    Mailbox::Content content = mailbox_->take();
    if (content.written) {
      writing_ = false;
      if (!*content.written) error_ = content.written->error();
    }
    if (content.message) take_message(*content.message);
    if (content.stopped) error_ = Status(StatusCode::cancelled, "the caller gave up");
  }

  void take_message(Mailbox::Message& message) {
    reading_ = false;
    if (!message) {
      error_ = message.error();
    } else if (!*message) {
      reading_ = true;  // Nothing follows.
      process_.close_input();
    } else {
      input_ = std::string((*message)->text()) + '\n';
      input_left_ = input_;
    }
  }

  Reader<>& in_;
  Writer<>& out_;
  const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  ShellProcess process_;
  std::string input_;
  std::string_view input_left_;
  std::string lines_;         // Output:
  std::size_t sent_ = 0;      // up to there it was sent,
  std::size_t searched_ = 0;  // from there on it may have a line end.
  bool reading_ = false;
  bool writing_ = false;
  Status error_;
};

}  // namespace

Result<void> exec_stream(const std::string& command, Reader<>& in, Writer<>& out,
                         std::stop_token stop) {
  return StreamRun(in, out).run(command, std::move(stop));
}

}  // namespace valkyrie::tools
