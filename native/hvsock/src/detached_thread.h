#pragma once

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

#include "system_call_error.h"

namespace hvsock {

class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// Starts a thread that nobody joins. It inherits a mask of all signals, which are the main thread's business; and
// splice() to a socket whose peer is gone may raise SIGPIPE.
template <typename Work>
void StartDetached(Work work) {
  AllSignalsBlocked blocked;
  try {
    std::thread(std::move(work)).detach();
  } catch (const std::system_error& failure) {
    throw SystemCallError("pthread_create", failure.code().value());
  }
}

}  // namespace hvsock
