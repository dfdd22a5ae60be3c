#pragma once

#include <uv.h>

#include <functional>
#include <list>
#include <memory>
#include <mutex>

namespace hvsock {

// The way back to the thread of one event loop, for the addon's own threads.
class MainLoop : public std::enable_shared_from_this<MainLoop> {
 public:
  // Runs on the loop's thread. It is destroyed wherever it is dropped, so it may own nothing of that thread's.
  using Work = std::function<void()>;
  // One piece of work, made in advance: to post it takes no memory, which a thread may not have when it has news.
  using Message = std::list<Work>;

  static std::shared_ptr<MainLoop> Open(uv_loop_t* loop);
  static Message Prepare(Work work);

  // From any thread; dropped once the loop has closed.
  void Post(Message message) noexcept;

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
  std::list<Work> queue_;
};

}  // namespace hvsock
