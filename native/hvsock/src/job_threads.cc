#include "job_threads.h"

#include <pthread.h>

#include <algorithm>

#include "detached_thread.h"
#include "system_call_error.h"

namespace hvsock {
namespace {

// What a job of a healthy machine does not need, and a person does not notice.
constexpr auto kPatience = std::chrono::milliseconds(100);
// Each beyond the first two stands for a job that hangs. Further jobs wait for one that comes back.
constexpr size_t kMostThreads = 64;

}  // namespace

JobThreads& JobThreads::Get() {
  static auto* instance = new JobThreads();  // never destroyed: its threads may outlive static destructors
  return *instance;
}

void JobThreads::Start() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (threads_ == 0) StartThread();
  if (threads_ == 1) StartThread();
}

void JobThreads::Add(Kind kind, std::function<void()> job) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (threads_ == 0) StartThread();
  waiting_.push_back({kind, std::move(job)});
  KeepOneInReserve();
  wake_.notify_one();
}

void JobThreads::StartThread() {
  // What it needs of memory is made here, where a lack of it is an error and not the end.
  StartDetached([this, mine = std::list<Running>(1)]() mutable { Run(std::move(mine)); });
  threads_++;
  idle_++;  // it has nothing to do yet, and nobody is to start another meanwhile
}

void JobThreads::KeepOneInReserve() noexcept {
  if (idle_ > 0 || threads_ >= kMostThreads) return;
  try {
    StartThread();
  } catch (const std::exception&) {
    // There is no room for another thread: what waits is done by one that comes back, and the next job tries again.
  }
}

// Threads stay once they are there: a child that asked for a parent-death signal gets it when the *thread* ends that
// made it.
void JobThreads::Run(std::list<Running> mine) {
  pthread_setname_np(pthread_self(), "hvsock-job");
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    auto next = Clock::time_point::max();
    std::list<Waiting> taken = Take(Clock::now(), &next);
    if (taken.empty()) {
      if (next == Clock::time_point::max()) {
        wake_.wait(lock);
      } else {
        wake_.wait_until(lock, next);
      }
      continue;
    }
    idle_--;
    mine.front() = {taken.front().kind, Clock::now()};
    auto self = mine.begin();
    running_.splice(running_.end(), mine);
    KeepOneInReserve();
    lock.unlock();
    taken.front().job();
    taken.clear();
    lock.lock();
    mine.splice(mine.end(), running_, self);
    idle_++;
  }
}

std::list<JobThreads::Waiting> JobThreads::Take(Clock::time_point now, Clock::time_point* next) {
  std::list<Waiting> taken;
  for (auto job = waiting_.begin(); job != waiting_.end(); ++job) {
    Clock::time_point free = FreeFrom(job->kind);
    if (free <= now) {
      taken.splice(taken.end(), waiting_, job);
      return taken;
    }
    *next = std::min(*next, free);
  }
  return taken;
}

JobThreads::Clock::time_point JobThreads::FreeFrom(Kind kind) const {
  auto free = Clock::time_point::min();
  for (const Running& job : running_) {
    if (job.kind == kind) free = std::max(free, job.since + kPatience);
  }
  return free;
}

}  // namespace hvsock
