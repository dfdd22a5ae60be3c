#pragma once

#include <uv.h>

#include <functional>

namespace hvsock {

// Catches one signal on the event loop, by number: Node itself knows no real-time signals. Made by Open, freed by
// Close; a signal of the last watch that is closed has its default action again. Does not keep the loop alive.
class SignalWatch {
 public:
  using Callback = std::function<void()>;

  static SignalWatch* Open(uv_loop_t* loop, int number, Callback callback);
  void Close();

 private:
  SignalWatch() = default;

  uv_signal_t handle_{};
  Callback callback_;
};

}  // namespace hvsock
