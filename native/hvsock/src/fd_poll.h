#pragma once

#include <uv.h>

#include <functional>

namespace hvsock {

// Watches one descriptor on the event loop (libuv's own streams refuse AF_VSOCK, its poll handle does not).
// The descriptor belongs to the caller, who closes the watch first. Only one watch per descriptor: duplicate
// the descriptor for a second one. Made by Open, freed by Close: libuv decides when.
class FdPoll {
 public:
  // `events` are UV_READABLE etc., or a negative libuv error.
  using Callback = std::function<void(int events)>;

  static FdPoll* Open(uv_loop_t* loop, int fd, Callback callback);

  void Start(int events);
  void Stop();
  void SetKeepsLoopAlive(bool on);
  void Close();

 private:
  FdPoll() = default;

  uv_poll_t handle_{};
  Callback callback_;
};

}  // namespace hvsock
