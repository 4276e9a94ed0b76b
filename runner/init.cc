#include "runner/init.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace valkyrie::runner {
namespace {

// What a program may expect of a fresh process: no signal blocked or ignored.
void reset_signals() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  struct sigaction plain{};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &plain, nullptr);
}

// In the leader's process: becomes the program, or returns with errno set.
void execute(const Leader& leader, std::vector<char*>& argv, std::vector<char*>& environment,
             int exec_status_fd) {
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  reset_signals();
  const int null = open("/dev/null", O_RDONLY);
  if (null < 0 || dup2(null, 0) < 0 || dup2(leader.out_fd, 1) < 0 || dup2(leader.err_fd, 2) < 0) {
    return;
  }
  if (exec_status_fd != 3 && dup2(exec_status_fd, 3) < 0) return;
  fcntl(3, F_SETFD, FD_CLOEXEC);
  close_range(4, ~0u, 0);
  if (chdir(leader.folder.c_str()) != 0) return;
  environ = environment.data();  // Its own PATH decides where the program is.
  execvp(argv.front(), argv.data());
}

// Starts the leader; its pid, or the errno that kept it from running.
pid_t start_leader(const Leader& leader, int& error) {
  std::vector<char*> argv;
  for (const std::string& word : leader.argv) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> environment;
  for (const std::string& entry : leader.environment) {
    environment.push_back(const_cast<char*>(entry.c_str()));
  }
  environment.push_back(nullptr);
  int status[2];
  error = 0;
  if (pipe2(status, O_CLOEXEC) != 0) {
    error = errno;
    return -1;
  }
  const pid_t pid = fork();
  if (pid == 0) {
    execute(leader, argv, environment, status[1]);
    const int failure = errno;
    (void)!write(3, &failure, sizeof failure);
    _exit(127);
  }
  if (pid < 0) error = errno;
  close(status[1]);
  int failure = 0;
  // Ends without bytes when the exec succeeded and closed the other end.
  if (pid > 0 && read(status[0], &failure, sizeof failure) == sizeof failure) error = failure;
  close(status[0]);
  return pid;
}

void report(int fd, InitReport::Kind kind, int value) {
  const InitReport message{kind, value};
  (void)!write(fd, &message, sizeof message);
}

}  // namespace

int run_init(const Leader& leader, int report_fd) {
  prctl(PR_SET_NAME, "valkyrie-init");
  reset_signals();
  int error = 0;
  const pid_t pid = start_leader(leader, error);
  // Whoever reads the output must see its end when the attempt's own processes are gone.
  close(leader.out_fd);
  close(leader.err_fd);
  if (error != 0) {
    report(report_fd, InitReport::Kind::exec_failed, error);
    return 127;
  }
  report(report_fd, InitReport::Kind::started, 0);
  for (;;) {
    int status = 0;
    const pid_t reaped = waitpid(-1, &status, 0);
    if (reaped == pid) report(report_fd, InitReport::Kind::leader_over, status);
    if (reaped < 0 && errno == ECHILD) return 0;
  }
}

}  // namespace valkyrie::runner
