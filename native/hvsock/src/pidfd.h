#pragma once

#include <sys/types.h>

#include "unique_fd.h"

namespace hvsock {

// How a process ended. Both -1: it was not our child, so nobody tells us.
struct ExitStatus {
  int code = -1;
  int signal = -1;
};

enum class WaitOutcome { kExited, kRunning, kNotAChild };

struct WaitResult {
  WaitOutcome outcome;
  ExitStatus status;
};

UniqueFd PidfdOpen(pid_t pid);
// False when the process is gone.
bool PidfdSendSignal(int pidfd, int signal);
// Reaps; never blocks.
WaitResult WaitPidfd(int pidfd);
// Reaps a child of the calling thread alone, never blocks. On the main thread these are the orphans that a subreaper
// inherits (and libuv's children), none that spawn.h started: those are their thread's.
WaitResult WaitInherited(pid_t pid);

}  // namespace hvsock
