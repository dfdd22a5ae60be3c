#include "descriptors.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <termios.h>

#include <cstdlib>

#include "system_call_error.h"

namespace hvsock {

Pair MakePipe(bool read_non_blocking, bool write_non_blocking) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) == -1) ThrowErrno("pipe2");
  Pair made{UniqueFd(ends[0]), UniqueFd(ends[1])};
  if (read_non_blocking) SetNonBlocking(made.first.Get(), true);
  if (write_non_blocking) SetNonBlocking(made.second.Get(), true);
  return made;
}

Pair MakeSocketPair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1) ThrowErrno("socketpair");
  return Pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Pair OpenPseudoTerminal() {
  UniqueFd master(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!master.IsOpen()) ThrowErrno("open");
  int unlocked = 0;
  if (ioctl(master.Get(), TIOCSPTLCK, &unlocked) == -1) ThrowErrno("ioctl(TIOCSPTLCK)");
  // Opens the slave without looking its name up, so it works whatever is mounted on /dev/pts.
  UniqueFd slave(ioctl(master.Get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave.IsOpen()) ThrowErrno("ioctl(TIOCGPTPEER)");
  return Pair{std::move(master), std::move(slave)};
}

int SetPipeSize(int fd, int size) {
  if (fcntl(fd, F_SETPIPE_SZ, size) == -1 && errno != EPERM && errno != EBUSY) ThrowErrno("fcntl(F_SETPIPE_SZ)");
  int actual = fcntl(fd, F_GETPIPE_SZ);
  if (actual == -1) ThrowErrno("fcntl(F_GETPIPE_SZ)");
  return actual;
}

UniqueFd Duplicate(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy.IsOpen()) ThrowErrno("fcntl(F_DUPFD_CLOEXEC)");
  return copy;
}

void SetNonBlocking(int fd, bool on) {
  int flags = fcntl(fd, F_GETFL);
  if (flags == -1) ThrowErrno("fcntl(F_GETFL)");
  int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags && fcntl(fd, F_SETFL, wanted) == -1) ThrowErrno("fcntl(F_SETFL)");
}

winsize GetWindowSize(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) == -1) ThrowErrno("ioctl(TIOCGWINSZ)");
  return size;
}

}  // namespace hvsock
