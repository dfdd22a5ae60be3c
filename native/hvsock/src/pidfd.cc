#include "pidfd.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "system_call_error.h"

namespace hvsock {
namespace {

// Missing from the C library of Debian 11.
constexpr auto kPidfd = static_cast<idtype_t>(3);

WaitResult Wait(idtype_t type, id_t id, int whose) {
  siginfo_t info{};
  // __WALL: also children whose exit signal is not SIGCHLD.
  int result = RetryOnInterrupt([&] { return waitid(type, id, &info, WEXITED | WNOHANG | __WALL | whose); });
  if (result == -1) {
    if (errno == ECHILD) return {WaitOutcome::kNotAChild, {}};
    ThrowErrno("waitid");
  }
  if (info.si_pid == 0) return {WaitOutcome::kRunning, {}};
  if (info.si_code == CLD_EXITED) return {WaitOutcome::kExited, {info.si_status, -1}};
  return {WaitOutcome::kExited, {-1, info.si_status}};
}

}  // namespace

UniqueFd PidfdOpen(pid_t pid) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.IsOpen()) ThrowErrno("pidfd_open");
  return fd;
}

bool PidfdSendSignal(int pidfd, int signal) {
  // A signal to a process that has exited but was not reaped yet "succeeds"; a readable pidfd tells.
  pollfd exited{pidfd, POLLIN, 0};
  if (poll(&exited, 1, 0) == 1 && (exited.revents & POLLIN) != 0) return false;
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  ThrowErrno("pidfd_send_signal");
}

WaitResult WaitPidfd(int pidfd) { return Wait(kPidfd, static_cast<id_t>(pidfd), 0); }
WaitResult WaitInherited(pid_t pid) { return Wait(P_PID, static_cast<id_t>(pid), __WNOTHREAD); }

}  // namespace hvsock
