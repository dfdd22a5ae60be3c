#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "unique_fd.h"

namespace hvsock {

// Where a stream socket connects or listens: a Unix path (AF_UNIX; a leading NUL byte makes it abstract) or a
// context id and port (AF_VSOCK).
struct SocketAddress {
  bool is_vsock = false;
  std::string path;
  uint32_t cid = 0;
  uint32_t port = 0;
};

struct ConnectAttempt {
  UniqueFd fd;     // non-blocking
  bool connected;  // false: wait until it is writable, then call FinishConnect
};

ConnectAttempt StartConnect(const SocketAddress& address);
// Throws the error of a connect that was in progress.
void FinishConnect(int fd);

// `mode` are the permission bits of a Unix path, or -1 for what the umask leaves.
UniqueFd Listen(const SocketAddress& address, int backlog, int mode);
// The next connection, non-blocking; not open when none waits.
UniqueFd Accept(int listener);

SocketAddress LocalAddress(int fd);
SocketAddress PeerAddress(int fd);

// Half-closes; a half that the peer closed already is no error.
void ShutdownSocket(int fd, int how);

// One recv or send that never blocks: bytes moved, or the negated errno. Never raises SIGPIPE.
ssize_t Receive(int fd, uint8_t* data, size_t length);
ssize_t Send(int fd, const uint8_t* data, size_t length);

}  // namespace hvsock
