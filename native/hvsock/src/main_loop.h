#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace hvsock {

// The way back to the thread of one event loop, for the addon's own threads. Work posted after the loop has
// closed is dropped.
class MainLoop : public std::enable_shared_from_this<MainLoop> {
 public:
  using Work = std::function<void()>;

  static std::shared_ptr<MainLoop> Open(uv_loop_t* loop);

  // From any thread.
  void Post(Work work);

  // On the loop's thread. The loop stays alive while there are more Holds than Unholds.
  void Hold();
  void Unhold();
  void Close();
  uv_loop_t* Loop() const { return loop_; }

 private:
  MainLoop() = default;
  void Run();

  uv_loop_t* loop_ = nullptr;
  uv_async_t* wake_ = nullptr;
  int holds_ = 0;
  std::mutex mutex_;
  bool closed_ = false;
  std::vector<Work> queue_;
};

}  // namespace hvsock
