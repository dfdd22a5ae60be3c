#pragma once

namespace hvsock {

// Takes sockets of the family AF_VSOCK, and io_uring, which makes sockets past a system call filter, away from the
// calling thread and all that it will ever start; no program gets them back. AF_VSOCK knows no namespaces: with it a
// container could reach the host, and pose as the host or as another container's stream.
//
// A seccomp(2) filter beside those that the thread has or will get: of all their answers the strictest counts.
// socket and socketpair fail with EAFNOSUPPORT and io_uring_setup with ENOSYS, as on a kernel without either. Needs
// CAP_SYS_ADMIN. Safe between vfork and exec: it allocates nothing.
//
// Returns 0, or -1 with errno.
int InstallHostSocketFilter();

}  // namespace hvsock
