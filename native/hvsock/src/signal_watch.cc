#include "signal_watch.h"

#include <csignal>
#include <memory>

#include "system_call_error.h"

namespace hvsock {

SignalWatch* SignalWatch::Open(uv_loop_t* loop, int number, Callback callback) {
  std::unique_ptr<SignalWatch> made(new SignalWatch());
  made->callback_ = std::move(callback);
  made->handle_.data = made.get();
  int status = uv_signal_init(loop, &made->handle_);
  if (status < 0) throw SystemCallError("uv_signal_init", -status);
  // From here on the loop knows the handle: only Close may free it.
  SignalWatch* watch = made.release();
  uv_unref(reinterpret_cast<uv_handle_t*>(&watch->handle_));
  status = uv_signal_start(
      &watch->handle_, [](uv_signal_t* handle, int) { static_cast<SignalWatch*>(handle->data)->callback_(); }, number);
  if (status >= 0) {
    // Node started with --disable-sigusr1 has SIGUSR1 blocked for ever, so that a handler alone would never run.
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
    return watch;
  }
  watch->Close();
  throw SystemCallError("uv_signal_start", -status);
}

void SignalWatch::Close() {
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_),
           [](uv_handle_t* handle) { delete static_cast<SignalWatch*>(handle->data); });
}

}  // namespace hvsock
