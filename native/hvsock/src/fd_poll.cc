#include "fd_poll.h"

#include <memory>

#include "system_call_error.h"

namespace hvsock {

FdPoll* FdPoll::Open(uv_loop_t* loop, int fd, Callback callback) {
  std::unique_ptr<FdPoll> made(new FdPoll());
  made->callback_ = std::move(callback);
  made->handle_.data = made.get();
  int status = uv_poll_init(loop, &made->handle_, fd);
  if (status < 0) throw SystemCallError("uv_poll_init", -status);
  return made.release();
}

void FdPoll::Start(int events) {
  int status = uv_poll_start(&handle_, events, [](uv_poll_t* handle, int failure, int happened) {
    static_cast<FdPoll*>(handle->data)->callback_(failure < 0 ? failure : happened);
  });
  if (status < 0) throw SystemCallError("uv_poll_start", -status);
}

void FdPoll::Stop() { uv_poll_stop(&handle_); }

void FdPoll::SetKeepsLoopAlive(bool on) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&handle_);
  on ? uv_ref(handle) : uv_unref(handle);
}

void FdPoll::Close() {
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_),
           [](uv_handle_t* handle) { delete static_cast<FdPoll*>(handle->data); });
}

}  // namespace hvsock
