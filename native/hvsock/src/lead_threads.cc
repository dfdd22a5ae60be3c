#include "lead_threads.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>

#include "detached_thread.h"
#include "unique_fd.h"

namespace hvsock {
namespace {

// A call that is seen twice, one look after the other, hangs: the others wait for it no longer than two looks.
constexpr int kLookMs = 50;
// So many looks at a loop that rests, then no more until it goes on.
constexpr int kLooksAtRest = 20;

pid_t ThreadId() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// A thread that has much to do, or no processor, is none that sleeps in the kernel.
bool IsRunnable(pid_t thread) {
  char text[512];
  snprintf(text, sizeof(text), "/proc/self/task/%d/stat", thread);
  UniqueFd file(open(text, O_RDONLY | O_CLOEXEC));
  ssize_t length = file.IsOpen() ? read(file.Get(), text, sizeof(text) - 1) : -1;
  if (length <= 0) return false;
  text[length] = '\0';
  // PID (NAME) STATE ..., proc_pid_stat(5).
  const char* name_end = strrchr(text, ')');
  return name_end != nullptr && strncmp(name_end, ") R", 3) == 0;
}

}  // namespace

void LeadThreads::Start() {
  has_watcher_ = true;
  StartDetached([this] { Run(true); });
  has_watcher_ = false;
  TryWatcher();
}

void LeadThreads::TryWatcher() noexcept {
  if (has_watcher_.exchange(true)) return;
  try {
    StartDetached([this] { Run(false); });
  } catch (const std::exception&) {
    // No room for a thread: the loop goes on without one that watches, and tries again at its next rest.
    has_watcher_ = false;
  }
}

void LeadThreads::Run(bool leads) noexcept {
  pthread_setname_np(pthread_self(), "hvsock-relay");
  for (;;) {
    if (!leads) {
      Watch();
      has_watcher_ = false;
      TryWatcher();
      loop_->LeadTaken();
    }
    Lead();
    leads = false;
    if (has_watcher_.exchange(true)) return;
  }
}

// Until the lead is handed to one that came back.
void LeadThreads::Lead() noexcept {
  leader_ = ThreadId();
  for (;;) {
    if (is_lead_wanted_.load(std::memory_order_acquire) && HandOver()) return;
    loop_->Step();
  }
}

bool LeadThreads::HandOver() noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  Returning* next = first_;
  if (next == nullptr) return false;
  first_ = next->next;
  if (first_ == nullptr) {
    last_ = &first_;
    is_lead_wanted_.store(false, std::memory_order_release);
  }
  next->has_lead = true;
  turn_.notify_all();
  return true;
}

void LeadThreads::WaitForLead() noexcept {
  Returning self;
  std::unique_lock<std::mutex> lock(mutex_);
  *last_ = &self;
  last_ = &self.next;
  is_lead_wanted_.store(true, std::memory_order_release);
  loop_->Interrupt();
  turn_.wait(lock, [&] { return self.has_lead; });
  leader_ = ThreadId();
}

// Until it has the lead.
void LeadThreads::Watch() noexcept {
  std::unique_lock<std::mutex> lock(mutex_);
  uint64_t seen = word_.load();
  int looks_at_rest = 0;
  for (;;) {
    watcher_.wait_for(lock, std::chrono::milliseconds(kLookMs));
    uint64_t now = word_.load();
    bool same = now == seen;
    seen = now;
    bool hangs = same && now % 2 == 1 && !IsRunnable(leader_);
    if (hangs && word_.compare_exchange_strong(now, now + 1)) return;
    looks_at_rest = same && is_resting_.load() ? looks_at_rest + 1 : 0;
    if (looks_at_rest < kLooksAtRest) continue;
    looks_at_rest = 0;
    is_watcher_asleep_.store(true);
    // The leader sees that it sleeps, or this sees that the leader goes on.
    if (is_resting_.load()) watcher_.wait(lock, [this] { return !is_watcher_asleep_.load(); });
    is_watcher_asleep_.store(false);
  }
}

void LeadThreads::WakeWatcher() noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  is_watcher_asleep_.store(false);
  watcher_.notify_one();
}

}  // namespace hvsock
