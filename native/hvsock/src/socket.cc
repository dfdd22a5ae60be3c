#include "socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <linux/vm_sockets.h>

#include <cstddef>
#include <cstring>

#include "system_call_error.h"

namespace hvsock {
namespace {

struct RawAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* Get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* Get() { return reinterpret_cast<sockaddr*>(&storage); }
};

RawAddress Encode(const SocketAddress& address) {
  RawAddress raw;
  if (address.is_vsock) {
    auto* vsock = reinterpret_cast<sockaddr_vm*>(&raw.storage);
    vsock->svm_family = AF_VSOCK;
    vsock->svm_cid = address.cid;
    vsock->svm_port = address.port;
    raw.length = sizeof(*vsock);
    return raw;
  }
  auto* local = reinterpret_cast<sockaddr_un*>(&raw.storage);
  bool abstract = !address.path.empty() && address.path[0] == '\0';
  size_t limit = sizeof(local->sun_path) - (abstract ? 0 : 1);
  if (address.path.size() > limit) throw SystemCallError("sockaddr_un", ENAMETOOLONG);
  local->sun_family = AF_UNIX;
  memcpy(local->sun_path, address.path.data(), address.path.size());
  raw.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.path.size() + (abstract ? 0 : 1));
  return raw;
}

SocketAddress Decode(const RawAddress& raw) {
  SocketAddress address;
  if (raw.storage.ss_family == AF_VSOCK) {
    const auto* vsock = reinterpret_cast<const sockaddr_vm*>(&raw.storage);
    address.is_vsock = true;
    address.cid = vsock->svm_cid;
    address.port = vsock->svm_port;
  } else if (raw.storage.ss_family == AF_UNIX && raw.length > offsetof(sockaddr_un, sun_path)) {
    const auto* local = reinterpret_cast<const sockaddr_un*>(&raw.storage);
    size_t length = raw.length - offsetof(sockaddr_un, sun_path);
    address.path.assign(local->sun_path, local->sun_path[0] == '\0' ? length : strnlen(local->sun_path, length));
  }
  return address;
}

UniqueFd OpenSocket(const SocketAddress& address) {
  int family = address.is_vsock ? AF_VSOCK : AF_UNIX;
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.IsOpen()) ThrowErrno("socket");
  return fd;
}

}  // namespace

ConnectAttempt StartConnect(const SocketAddress& address) {
  RawAddress raw = Encode(address);
  UniqueFd fd = OpenSocket(address);
  if (connect(fd.Get(), raw.Get(), raw.length) == 0) return {std::move(fd), true};
  // An interrupted connect goes on in the background just like a non-blocking one.
  if (errno != EINPROGRESS && errno != EINTR) ThrowErrno("connect");
  return {std::move(fd), false};
}

void FinishConnect(int fd) {
  int error = 0;
  socklen_t length = sizeof(error);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == -1) ThrowErrno("getsockopt(SO_ERROR)");
  if (error != 0) throw SystemCallError("connect", error);
}

UniqueFd Listen(const SocketAddress& address, int backlog, int mode) {
  RawAddress raw = Encode(address);
  UniqueFd fd = OpenSocket(address);
  bool has_path = !address.is_vsock && !address.path.empty() && address.path[0] != '\0';
  // The mode set before bind() closes the moment in which the path is open to more than it should be ...
  if (has_path && mode >= 0 && fchmod(fd.Get(), static_cast<mode_t>(mode)) == -1) ThrowErrno("fchmod");
  if (bind(fd.Get(), raw.Get(), raw.length) == -1) ThrowErrno("bind");
  // ... and the one after gives back what the umask took.
  if (has_path && mode >= 0 && chmod(address.path.c_str(), static_cast<mode_t>(mode)) == -1) {
    int error = errno;
    unlink(address.path.c_str());
    throw SystemCallError("chmod", error);
  }
  if (listen(fd.Get(), backlog) == -1) {
    int error = errno;
    if (has_path) unlink(address.path.c_str());
    throw SystemCallError("listen", error);
  }
  return fd;
}

UniqueFd Accept(int listener) {
  // A connection that was given up before it was accepted is not the listener's failure.
  for (;;) {
    UniqueFd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.IsOpen()) return fd;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return UniqueFd();
    if (errno != EINTR && errno != ECONNABORTED) ThrowErrno("accept4");
  }
}

SocketAddress LocalAddress(int fd) {
  RawAddress raw;
  raw.length = sizeof(raw.storage);
  if (getsockname(fd, raw.Get(), &raw.length) == -1) ThrowErrno("getsockname");
  return Decode(raw);
}

SocketAddress PeerAddress(int fd) {
  RawAddress raw;
  raw.length = sizeof(raw.storage);
  if (getpeername(fd, raw.Get(), &raw.length) == -1) ThrowErrno("getpeername");
  return Decode(raw);
}

void ShutdownSocket(int fd, int how) {
  if (shutdown(fd, how) == -1 && errno != ENOTCONN) ThrowErrno("shutdown");
}

ssize_t Receive(int fd, uint8_t* data, size_t length) {
  ssize_t got = RetryOnInterrupt([&] { return recv(fd, data, length, MSG_DONTWAIT); });
  return got == -1 ? -errno : got;
}

ssize_t Send(int fd, const uint8_t* data, size_t length) {
  ssize_t sent = RetryOnInterrupt([&] { return send(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL); });
  return sent == -1 ? -errno : sent;
}

}  // namespace hvsock
