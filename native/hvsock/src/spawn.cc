#include "spawn.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <condition_variable>
#include <deque>
#include <new>

#include "detached_thread.h"
#include "host_socket_filter.h"
#include "system_call_error.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

namespace hvsock {
namespace {

// 64 KiB, many times what the few frames below need.
constexpr size_t kStackSize = 64 * 1024;
constexpr unsigned kCloseRangeCloexec = 1U << 2;

// All that the child needs, laid out before the clone: between clone and exec it shares our memory, so it may
// not allocate, lock, or touch anything that another thread may hold.
struct ChildPlan {
  const SpawnRequest* request;
  std::vector<char*> argv;
  std::vector<char*> envp;
  int stdio[3];
  int error = 0;               // written by the child
  const char* step = nullptr;  // written by the child
};

std::vector<char*> PointersTo(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void Fail(ChildPlan* plan, const char* step) {
  plan->error = errno;
  plan->step = step;
  _exit(127);
}

void ResetSignals() {
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  // The C library refuses the two numbers that it keeps for itself, which is right.
  for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

void PlaceStdio(ChildPlan* plan) {
  // First lift every source out of 0 to 2, so that no dup2 below overwrites a source that is still needed.
  for (int& fd : plan->stdio) {
    if (fd > STDERR_FILENO) continue;
    fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd == -1) Fail(plan, "fcntl(F_DUPFD_CLOEXEC)");
  }
  for (int target = 0; target < 3; target++) {
    if (dup2(plan->stdio[target], target) == -1) Fail(plan, "dup2");
  }
}

void Execute(ChildPlan* plan) {
  // As execvp(3): a candidate that is not there is passed over, one that may not be run is remembered.
  int remembered = 0;
  for (const std::string& path : plan->request->candidates) {
    execve(path.c_str(), plan->argv.data(), plan->envp.data());
    if (errno == EACCES) {
      remembered = errno;
    } else if (errno != ENOENT && errno != ENOTDIR) {
      break;
    }
  }
  if ((errno == ENOENT || errno == ENOTDIR) && remembered != 0) errno = remembered;
  Fail(plan, "execve");
}

int RunChild(void* argument) {
  auto* plan = static_cast<ChildPlan*>(argument);
  const SpawnRequest& request = *plan->request;
  ResetSignals();
  if (request.new_session && setsid() == -1) Fail(plan, "setsid");
  PlaceStdio(plan);
  if (request.controlling_terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) == -1) Fail(plan, "ioctl(TIOCSCTTY)");
  if (!request.working_directory.empty() && chdir(request.working_directory.c_str()) == -1) Fail(plan, "chdir");
  // Ours are all close-on-exec; this is for what a library may have opened without. Linux before 5.11 lacks it.
  syscall(SYS_close_range, 3U, ~0U, kCloseRangeCloexec);
  if (request.no_host_sockets && InstallHostSocketFilter() == -1) Fail(plan, "prctl(PR_SET_SECCOMP)");
  Execute(plan);
  return 127;
}

class Stack {
 public:
  Stack() {
    base_ = mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (base_ == MAP_FAILED) ThrowErrno("mmap");
  }
  ~Stack() { munmap(base_, kStackSize); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  void* Top() const { return static_cast<char*>(base_) + kStackSize; }

 private:
  void* base_;
};

struct Job {
  std::unique_ptr<SpawnRequest> request;
  std::shared_ptr<MainLoop> loop;
  std::function<void(SpawnResult)> done;
};

class SpawnThread {
 public:
  static SpawnThread& Get() {
    static auto* instance = new SpawnThread();  // never destroyed: its thread may outlive static destructors
    return *instance;
  }

  void Add(Job job) {
    std::lock_guard<std::mutex> lock(mutex_);
    jobs_.push_back(std::move(job));
    wake_.notify_one();
  }

 private:
  SpawnThread() {
    StartDetached([this] { Run(); });
  }

  [[noreturn]] void Run() {
    pthread_setname_np(pthread_self(), "hvsock-spawn");
    for (;;) {
      Job job = Take();
      auto result = std::make_shared<SpawnResult>();
      try {
        *result = Spawn(*job.request);
      } catch (const SystemCallError& failure) {
        result->error = failure.Error();
        result->step = failure.Call();
      } catch (const std::bad_alloc&) {
        result->error = ENOMEM;
        result->step = "spawn";
      }
      // The duplicates of the child's descriptors are closed before anyone hears of the child: a reader waits
      // for the end of file of exactly these.
      job.request.reset();
      job.loop->Post([done = std::move(job.done), result] { done(std::move(*result)); });
    }
  }

  Job Take() {
    std::unique_lock<std::mutex> lock(mutex_);
    wake_.wait(lock, [this] { return !jobs_.empty(); });
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    return job;
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
};

}  // namespace

SpawnResult Spawn(const SpawnRequest& request) {
  ChildPlan plan;
  plan.request = &request;
  plan.argv = PointersTo(request.arguments);
  plan.envp = PointersTo(request.environment);
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.IsOpen()) ThrowErrno("open(/dev/null)");
  for (size_t i = 0; i < 3; i++) plan.stdio[i] = request.stdio[i].IsOpen() ? request.stdio[i].Get() : null.Get();

  Stack stack;
  int pidfd = -1;
  pid_t pid;
  {
    // A signal handler of ours must not run in the child while it shares our memory.
    AllSignalsBlocked blocked;
    pid = clone(RunChild, stack.Top(), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &pidfd);
  }
  if (pid == -1) ThrowErrno("clone");
  SpawnResult result;
  result.pidfd.Reset(pidfd);
  if (plan.error != 0) {
    siginfo_t info;
    RetryOnInterrupt([&] { return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | __WALL); });
    result.pidfd.Reset();
    result.error = plan.error;
    result.step = plan.step;
    return result;
  }
  result.pid = pid;
  return result;
}

void SpawnInBackground(std::unique_ptr<SpawnRequest> request, std::shared_ptr<MainLoop> loop,
                       std::function<void(SpawnResult)> done) {
  SpawnThread::Get().Add({std::move(request), std::move(loop), std::move(done)});
}

}  // namespace hvsock
