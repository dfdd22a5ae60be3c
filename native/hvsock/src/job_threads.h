#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>

namespace hvsock {

// Threads for work that may sleep in the kernel for long, or for ever: behind a file system that does not answer, say.
// Of each kind one job runs at a time; when it takes longer than a moment, the next one of its kind is no longer held
// up by it, and another thread takes that. They are not libuv's pool, which has four threads for everything.
class JobThreads {
 public:
  // Kinds do not wait for each other.
  enum class Kind { kRuntime, kOtherProgram, kFile };

  static JobThreads& Get();

  // Makes the threads that the first jobs need. Throws SystemCallError when there is none and none can be made.
  void Start();
  // The job may throw nothing. Throws as Start.
  void Add(Kind kind, std::function<void()> job);

 private:
  using Clock = std::chrono::steady_clock;

  struct Waiting {
    Kind kind;
    std::function<void()> job;
  };
  struct Running {
    Kind kind;
    Clock::time_point since;
  };

  JobThreads() = default;
  [[noreturn]] void Run(std::list<Running> mine);
  // What may run now, moved out of those that wait; empty where nothing may, and then `next` is when to look again.
  std::list<Waiting> Take(Clock::time_point now, Clock::time_point* next);
  Clock::time_point FreeFrom(Kind kind) const;
  void StartThread();
  void KeepOneInReserve() noexcept;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Waiting> waiting_;
  std::list<Running> running_;
  size_t threads_ = 0;
  size_t idle_ = 0;
};

}  // namespace hvsock
