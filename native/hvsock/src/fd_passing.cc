#include "fd_passing.h"

#include <sys/socket.h>

#include <array>
#include <cstring>
#include <vector>

#include "system_call_error.h"

namespace hvsock {
namespace {

constexpr size_t kMaxName = 4096;
// Room for more descriptors than are welcome, so that unwelcome ones are seen and closed.
constexpr size_t kMaxFds = 16;

std::vector<UniqueFd> TakeFds(msghdr* message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* control = CMSG_FIRSTHDR(message); control != nullptr; control = CMSG_NXTHDR(message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

void SendFd(int socket, int fd, const std::string& name) {
  std::string bytes = name.empty() ? std::string(1, '\0') : name;
  iovec part{bytes.data(), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof(int));
  if (RetryOnInterrupt([&] { return sendmsg(socket, &message, MSG_NOSIGNAL); }) == -1) ThrowErrno("sendmsg");
}

std::optional<ReceivedFd> ReceiveFd(int socket) {
  std::array<char, kMaxName> name;
  iovec part{name.data(), name.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = RetryOnInterrupt([&] { return recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT); });
  if (got == -1) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::nullopt;
    ThrowErrno("recvmsg");
  }
  std::vector<UniqueFd> fds = TakeFds(&message);
  if (fds.size() != 1 || (message.msg_flags & MSG_CTRUNC) != 0) throw SystemCallError("recvmsg", EPROTO);
  return ReceivedFd{std::move(fds[0]), std::string(name.data(), static_cast<size_t>(got))};
}

}  // namespace hvsock
