#pragma once

#include <optional>
#include <string>

#include "unique_fd.h"

namespace hvsock {

struct ReceivedFd {
  UniqueFd fd;
  std::string name;
};

// Sends one descriptor over a Unix stream socket, with a name as the message's bytes (at least one byte).
void SendFd(int socket, int fd, const std::string& name);

// Receives one descriptor and its name (what runc's --console-socket sends). Empty when nothing has arrived
// yet. Throws EPROTO when the message carries no descriptor or more than one; those are closed.
std::optional<ReceivedFd> ReceiveFd(int socket);

}  // namespace hvsock
