#include "main_loop.h"

#include "system_call_error.h"

namespace hvsock {

std::shared_ptr<MainLoop> MainLoop::Open(uv_loop_t* loop) {
  std::shared_ptr<MainLoop> made(new MainLoop());
  made->loop_ = loop;
  made->wake_ = new uv_async_t();
  made->wake_->data = made.get();
  int status = uv_async_init(loop, made->wake_, [](uv_async_t* handle) {
    if (handle->data != nullptr) static_cast<MainLoop*>(handle->data)->Run();
  });
  if (status < 0) {
    delete made->wake_;
    throw SystemCallError("uv_async_init", -status);
  }
  uv_unref(reinterpret_cast<uv_handle_t*>(made->wake_));
  return made;
}

MainLoop::Message MainLoop::Prepare(Work work) {
  Message message;
  message.push_back(std::move(work));
  return message;
}

void MainLoop::Post(Message message) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return;
  queue_.splice(queue_.end(), message);
  uv_async_send(wake_);
}

void MainLoop::Run() {
  std::shared_ptr<MainLoop> self = shared_from_this();  // work may close the loop
  std::list<Work> batch;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    batch.swap(queue_);
  }
  for (Work& work : batch) work();
}

void MainLoop::Hold() {
  if (holds_++ == 0 && !closed_) uv_ref(reinterpret_cast<uv_handle_t*>(wake_));
}

void MainLoop::Unhold() {
  if (--holds_ == 0 && !closed_) uv_unref(reinterpret_cast<uv_handle_t*>(wake_));
}

void MainLoop::Close() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return;
  closed_ = true;
  queue_.clear();
  wake_->data = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(wake_),
           [](uv_handle_t* handle) { delete reinterpret_cast<uv_async_t*>(handle); });
}

}  // namespace hvsock
