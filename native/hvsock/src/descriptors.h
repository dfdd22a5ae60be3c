#pragma once

#include <sys/ioctl.h>

#include "unique_fd.h"

namespace hvsock {

struct Pair {
  UniqueFd first;
  UniqueFd second;
};

// A close-on-exec pipe; `first` reads, `second` writes. The flags of each end are separate.
Pair MakePipe(bool read_non_blocking, bool write_non_blocking);

// A close-on-exec, blocking pair of connected stream sockets.
Pair MakeSocketPair();

// A close-on-exec pseudo-terminal; `first` is the master, `second` the slave (O_NOCTTY).
Pair OpenPseudoTerminal();

// Asks for a pipe buffer of `size` bytes and returns the size it has afterwards. A refusal (EPERM above the
// limit for unprivileged users, EBUSY when full) is no error: the pipe merely stays as it was.
int SetPipeSize(int fd, int size);

UniqueFd Duplicate(int fd);
void SetNonBlocking(int fd, bool on);

winsize GetWindowSize(int fd);

}  // namespace hvsock
