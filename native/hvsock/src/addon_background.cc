#include <fcntl.h>

#include <limits>
#include <memory>

#include "addon.h"
#include "descriptors.h"
#include "relay_engine.h"

// Calls on a pipe or a terminal that a stranger's program has, too: the kernel makes them wait as long as that
// program's own call has it locked, which a page that never comes makes for ever.
namespace hvsock {
namespace {

using Info = Napi::CallbackInfo;

// Runs the call on the relays' threads, then callback(error | null). The call gives an errno, or 0.
void InBackground(Napi::Env env, Napi::Function callback, const char* name, std::function<int()> call) {
  uint64_t id = KeepCallback(env, callback);
  try {
    auto error = std::make_shared<int>(0);
    MainLoop::Message done = MainLoop::Prepare([env, id, name, error] {
      OnLoop(env, [&] {
        Napi::FunctionReference function = TakeCallback(env, id);
        CallBack(env, function, {*error == 0 ? env.Null() : SystemError(env, name, *error).Value()});
      });
    });
    auto work = [error, call = std::move(call)] { *error = call(); };
    RelayEngine::Call(std::move(work), Data(env).loop, std::move(done));
  } catch (...) {
    TakeCallback(env, id);
    throw;
  }
}

// closeInBackground(fd, callback)
Napi::Value CloseInBackground(const Info& info) {
  int fd = FdArgument(info, 0);
  if (fcntl(fd, F_GETFD) == -1) ThrowErrno("close");
  // EINTR: closed all the same (Linux).
  InBackground(info.Env(), FunctionArgument(info, 1, "callback"), "close",
               [fd] { return close(fd) == -1 && errno != EINTR ? errno : 0; });
  return info.Env().Undefined();
}

// setWindowSize(fd, rows, columns, callback)
Napi::Value WindowSize(const Info& info) {
  constexpr int64_t kMost = std::numeric_limits<unsigned short>::max();
  // Its own duplicate: the caller may close its own before this is done.
  auto terminal = std::make_shared<UniqueFd>(Duplicate(FdArgument(info, 0)));
  winsize size{};
  size.ws_row = static_cast<unsigned short>(IntegerArgument(info, 1, "rows", 0, kMost));
  size.ws_col = static_cast<unsigned short>(IntegerArgument(info, 2, "columns", 0, kMost));
  InBackground(info.Env(), FunctionArgument(info, 3, "callback"), "ioctl(TIOCSWINSZ)", [terminal, size] {
    int error = ioctl(terminal->Get(), TIOCSWINSZ, &size) == -1 ? errno : 0;
    terminal->Reset();
    return error;
  });
  return info.Env().Undefined();
}

}  // namespace

void ExportBackground(Napi::Env, Napi::Object exports) {
  Export<CloseInBackground>(exports, "closeInBackground");
  Export<WindowSize>(exports, "setWindowSize");
}

}  // namespace hvsock
