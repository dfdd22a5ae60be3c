#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace hvsock {

// Threads that take turns at one loop. One at a time has the lead: it does the loop's steps and owns all that belongs
// to the loop. For each system call that may sleep in the kernel, whatever its flags say, it lets go of the lead. When
// such a call is not back within a moment, the thread that watches takes the lead and goes on with the steps; the one
// that comes back waits until it is given the lead again, between two steps, and goes on in the middle of its own. Two
// threads as long as no call hangs, and one more for each that does.
class LeadThreads {
 public:
  class Loop {
   public:
    // Does one thing, or waits until there is something to do.
    virtual void Step() noexcept = 0;
    // Ends a wait in Step. From any thread.
    virtual void Interrupt() noexcept = 0;
    // This thread has the lead from now on, and the one that had it is in the middle of a step.
    virtual void LeadTaken() noexcept = 0;

   protected:
    ~Loop() = default;
  };

  explicit LeadThreads(Loop* loop) : loop_(loop) {}

  // Throws SystemCallError when no thread can be made.
  void Start();

  // By who has the lead, in a step, around a system call; false: it is lost, and has to be waited for.
  uint64_t LetGo() noexcept {
    uint64_t token = word_.load(std::memory_order_relaxed) + 1;
    word_.store(token, std::memory_order_release);
    return token;
  }
  bool TakeBack(uint64_t token) noexcept {
    return word_.compare_exchange_strong(token, token + 1, std::memory_order_acq_rel);
  }
  void WaitForLead() noexcept;

  // By who has the lead, around a wait that may be long.
  void BeginRest() noexcept {
    if (!has_watcher_.load(std::memory_order_relaxed)) TryWatcher();
    is_resting_.store(true);
  }
  void EndRest() noexcept {
    is_resting_.store(false);
    if (is_watcher_asleep_.load()) WakeWatcher();
  }

 private:
  // A thread that waits for the lead; it lies on that thread's stack.
  struct Returning {
    bool has_lead = false;
    Returning* next = nullptr;
  };

  void Run(bool leads) noexcept;
  void Lead() noexcept;
  bool HandOver() noexcept;
  void Watch() noexcept;
  void WakeWatcher() noexcept;
  void TryWatcher() noexcept;

  Loop* loop_;
  // Odd: the leader is in a system call. Each call and each change of the lead makes it greater.
  std::atomic<uint64_t> word_{0};
  std::atomic<pid_t> leader_{0};  // its thread id
  std::atomic<bool> is_resting_{false};
  std::atomic<bool> is_watcher_asleep_{false};
  std::atomic<bool> has_watcher_{false};
  std::atomic<bool> is_lead_wanted_{false};

  std::mutex mutex_;
  std::condition_variable watcher_;
  std::condition_variable turn_;
  Returning* first_ = nullptr;
  Returning** last_ = &first_;
};

}  // namespace hvsock
