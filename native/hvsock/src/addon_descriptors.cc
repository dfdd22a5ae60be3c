#include <limits>

#include "addon.h"
#include "descriptors.h"

namespace hvsock {
namespace {

using Info = Napi::CallbackInfo;

// pipe(readNonBlocking, writeNonBlocking): [readFd, writeFd]
Napi::Value Pipe(const Info& info) {
  Pair pair = MakePipe(BooleanArgument(info, 0, "readNonBlocking"), BooleanArgument(info, 1, "writeNonBlocking"));
  return FdPair(info.Env(), std::move(pair.first), std::move(pair.second));
}

// socketPair(): [fd, fd]
Napi::Value SocketPair(const Info& info) {
  Pair pair = MakeSocketPair();
  return FdPair(info.Env(), std::move(pair.first), std::move(pair.second));
}

// openPty(): [masterFd, slaveFd]
Napi::Value OpenPty(const Info& info) {
  Pair pair = OpenPseudoTerminal();
  return FdPair(info.Env(), std::move(pair.first), std::move(pair.second));
}

// setPipeSize(fd, bytes): the size afterwards, in bytes
Napi::Value PipeSize(const Info& info) {
  int fd = FdArgument(info, 0);
  int64_t size = IntegerArgument(info, 1, "bytes", 1, std::numeric_limits<int>::max());
  return Napi::Number::New(info.Env(), SetPipeSize(fd, static_cast<int>(size)));
}

// closeFd(fd)
Napi::Value CloseFd(const Info& info) {
  // EINTR: closed all the same (Linux).
  if (close(FdArgument(info, 0)) == -1 && errno != EINTR) ThrowErrno("close");
  return info.Env().Undefined();
}

// duplicateFd(fd): fd
Napi::Value DuplicateFd(const Info& info) {
  return Napi::Number::New(info.Env(), Duplicate(FdArgument(info, 0)).Release());
}

// setNonBlocking(fd, on)
Napi::Value NonBlocking(const Info& info) {
  SetNonBlocking(FdArgument(info, 0), BooleanArgument(info, 1, "on"));
  return info.Env().Undefined();
}

// getWindowSize(fd): [rows, columns]
Napi::Value QueryWindowSize(const Info& info) {
  winsize size = GetWindowSize(FdArgument(info, 0));
  Napi::Array pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0U, Napi::Number::New(info.Env(), size.ws_row));
  pair.Set(1U, Napi::Number::New(info.Env(), size.ws_col));
  return pair;
}

}  // namespace

void ExportDescriptors(Napi::Env, Napi::Object exports) {
  Export<Pipe>(exports, "pipe");
  Export<SocketPair>(exports, "socketPair");
  Export<OpenPty>(exports, "openPty");
  Export<PipeSize>(exports, "setPipeSize");
  Export<CloseFd>(exports, "closeFd");
  Export<DuplicateFd>(exports, "duplicateFd");
  Export<NonBlocking>(exports, "setNonBlocking");
  Export<QueryWindowSize>(exports, "getWindowSize");
}

}  // namespace hvsock
