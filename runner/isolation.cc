#include "runner/isolation.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace valkyrie::runner {
namespace {

std::uint64_t clone_flags(Fence fence) {
  constexpr std::uint64_t kNamespaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC;
  switch (fence) {
    case Fence::none:
      return 0;
    case Fence::namespaces:
      return kNamespaces;
    case Fence::user_namespaces:
      return kNamespaces | CLONE_NEWUSER;
  }
  return 0;
}

bool write_file(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return written;
}

// Inside a new user namespace: be who we were outside.
bool keep_identity(uid_t uid, gid_t gid) {
  const std::string id_map = std::to_string(uid) + " " + std::to_string(uid) + " 1";
  const std::string group_map = std::to_string(gid) + " " + std::to_string(gid) + " 1";
  return write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/uid_map", id_map) &&
         write_file("/proc/self/gid_map", group_map);
}

// Makes /proc show the attempt's processes alone. Where the kernel forbids it, as inside some
// containers, the outer /proc stays, which programs can live with.
void mount_own_proc() {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return;
  (void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
}

// In the root, before its body: the fence's inner side. False: the fence does not hold.
bool enter(Fence fence, uid_t uid, gid_t gid, int parent_pidfd) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return false;
  // The parent may have died before the line above, and getppid() sees no parent outside.
  pollfd parent{.fd = parent_pidfd, .events = POLLIN, .revents = 0};
  if (poll(&parent, 1, 0) != 0) return false;
  close(parent_pidfd);
  if (fence == Fence::none) return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
  if (fence == Fence::user_namespaces && !keep_identity(uid, gid)) return false;
  mount_own_proc();
  return true;
}

}  // namespace

std::string_view isolation_of(Fence fence) { return fence == Fence::none ? "none" : "namespace"; }

std::expected<Root, std::error_code> start_root(Fence fence, const std::function<int()>& body) {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  const int parent = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  if (parent < 0) return std::unexpected(std::error_code(errno, std::system_category()));
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = CLONE_PIDFD | clone_flags(fence);
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  const auto pid = static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof arguments));
  if (pid == 0) {
    constexpr int kFenceFailed = 121;
    _exit(enter(fence, uid, gid, parent) ? body() : kFenceFailed);
  }
  const int error = errno;
  close(parent);
  if (pid < 0) return std::unexpected(std::error_code(error, std::system_category()));
  return Root{pid, pidfd};
}

bool fence_holds(Fence fence) {
  const auto root = start_root(fence, [] { return 0; });
  if (!root) return false;
  close(root->pidfd);
  int status = 0;
  while (waitpid(root->pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Fence strongest_fence() {
  for (const Fence fence : {Fence::namespaces, Fence::user_namespaces}) {
    if (fence_holds(fence)) return fence;
  }
  return Fence::none;
}

}  // namespace valkyrie::runner
