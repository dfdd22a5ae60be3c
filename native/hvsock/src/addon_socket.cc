#include <sys/socket.h>

#include <limits>

#include "addon.h"
#include "fd_passing.h"
#include "socket.h"

namespace hvsock {
namespace {

using Info = Napi::CallbackInfo;

// Two arguments: a path, or a context id; and a port (unused with a path).
SocketAddress AddressArguments(const Info& info) {
  SocketAddress address;
  if (info[0].IsString()) {
    address.path = info[0].As<Napi::String>().Utf8Value();
    if (address.path.empty()) throw Napi::TypeError::New(info.Env(), "path must not be empty");
    return address;
  }
  constexpr int64_t kMost = std::numeric_limits<uint32_t>::max();
  address.is_vsock = true;
  address.cid = static_cast<uint32_t>(IntegerArgument(info, 0, "cid", 0, kMost));
  address.port = static_cast<uint32_t>(IntegerArgument(info, 1, "port", 0, kMost));
  return address;
}

Napi::Value AddressValue(Napi::Env env, const SocketAddress& address) {
  Napi::Object made = Napi::Object::New(env);
  if (address.is_vsock) {
    made.Set("cid", Napi::Number::New(env, address.cid));
    made.Set("port", Napi::Number::New(env, address.port));
  } else {
    made.Set("path", Napi::String::New(env, address.path));
  }
  return made;
}

// startConnect(path | cid, port): [fd, connected]
Napi::Value Connect(const Info& info) {
  ConnectAttempt attempt = StartConnect(AddressArguments(info));
  Napi::Array made = Napi::Array::New(info.Env(), 2);
  made.Set(0U, Napi::Number::New(info.Env(), attempt.fd.Release()));
  made.Set(1U, Napi::Boolean::New(info.Env(), attempt.connected));
  return made;
}

// finishConnect(fd): throws why it failed
Napi::Value FinishedConnect(const Info& info) {
  FinishConnect(FdArgument(info, 0));
  return info.Env().Undefined();
}

// listen(path | cid, port, backlog, mode): fd; mode -1 leaves it to the umask
Napi::Value StartListening(const Info& info) {
  SocketAddress address = AddressArguments(info);
  auto backlog = static_cast<int>(IntegerArgument(info, 2, "backlog", 1, std::numeric_limits<int>::max()));
  auto mode = static_cast<int>(IntegerArgument(info, 3, "mode", -1, 07777));
  return Napi::Number::New(info.Env(), Listen(address, backlog, mode).Release());
}

// accept(fd): fd, or -1 when no connection waits
Napi::Value AcceptNext(const Info& info) {
  return Napi::Number::New(info.Env(), Accept(FdArgument(info, 0)).Release());
}

// localAddress(fd), peerAddress(fd): {path} | {cid, port}
Napi::Value Local(const Info& info) { return AddressValue(info.Env(), LocalAddress(FdArgument(info, 0))); }
Napi::Value Peer(const Info& info) { return AddressValue(info.Env(), PeerAddress(FdArgument(info, 0))); }

// shutdown(fd, "read" | "write")
Napi::Value Shutdown(const Info& info) {
  int fd = FdArgument(info, 0);
  std::string how = StringArgument(info, 1, "how");
  if (how != "read" && how != "write") throw Napi::TypeError::New(info.Env(), "how must be \"read\" or \"write\"");
  ShutdownSocket(fd, how == "read" ? SHUT_RD : SHUT_WR);
  return info.Env().Undefined();
}

struct Range {
  uint8_t* data;
  size_t length;
};

Range BytesArgument(const Info& info, size_t first) {
  if (!info[first].IsTypedArray()) throw Napi::TypeError::New(info.Env(), "bytes must be a Uint8Array");
  auto bytes = info[first].As<Napi::Uint8Array>();
  auto total = static_cast<int64_t>(bytes.ByteLength());
  int64_t offset = IntegerArgument(info, first + 1, "offset", 0, total);
  int64_t length = IntegerArgument(info, first + 2, "length", 0, total - offset);
  return {bytes.Data() + offset, static_cast<size_t>(length)};
}

// receive(fd, bytes, offset, length): bytes received, 0 at the end, or a negated errno
Napi::Value ReceiveBytes(const Info& info) {
  Range range = BytesArgument(info, 1);
  return Napi::Number::New(info.Env(), static_cast<double>(Receive(FdArgument(info, 0), range.data, range.length)));
}

// send(fd, bytes, offset, length): bytes sent, or a negated errno
Napi::Value SendBytes(const Info& info) {
  Range range = BytesArgument(info, 1);
  return Napi::Number::New(info.Env(), static_cast<double>(Send(FdArgument(info, 0), range.data, range.length)));
}

// systemError(call, errno): Error
Napi::Value MakeSystemError(const Info& info) {
  std::string call = StringArgument(info, 0, "call");
  auto error = static_cast<int>(IntegerArgument(info, 1, "errno", 1, 4095));
  return SystemError(info.Env(), call.c_str(), error).Value();
}

// sendFd(socketFd, fd, name)
Napi::Value PassFd(const Info& info) {
  SendFd(FdArgument(info, 0, "socketFd"), FdArgument(info, 1), StringArgument(info, 2, "name"));
  return info.Env().Undefined();
}

// receiveFd(socketFd): {fd, name}, or null when nothing has arrived
Napi::Value TakeFd(const Info& info) {
  std::optional<ReceivedFd> received = ReceiveFd(FdArgument(info, 0, "socketFd"));
  if (!received) return info.Env().Null();
  Napi::Object made = Napi::Object::New(info.Env());
  made.Set("name", Napi::String::New(info.Env(), received->name));
  made.Set("fd", Napi::Number::New(info.Env(), received->fd.Release()));
  return made;
}

}  // namespace

void ExportSocket(Napi::Env, Napi::Object exports) {
  Export<Connect>(exports, "startConnect");
  Export<FinishedConnect>(exports, "finishConnect");
  Export<StartListening>(exports, "listen");
  Export<AcceptNext>(exports, "accept");
  Export<Local>(exports, "localAddress");
  Export<Peer>(exports, "peerAddress");
  Export<Shutdown>(exports, "shutdown");
  Export<ReceiveBytes>(exports, "receive");
  Export<SendBytes>(exports, "send");
  Export<MakeSystemError>(exports, "systemError");
  Export<PassFd>(exports, "sendFd");
  Export<TakeFd>(exports, "receiveFd");
}

}  // namespace hvsock
