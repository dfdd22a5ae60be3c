#include "spawn.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <exception>

#include "detached_thread.h"
#include "host_socket_filter.h"
#include "job_threads.h"
#include "pidfd.h"
#include "system_call_error.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

namespace hvsock {
namespace {

// 64 KiB, many times what the few frames below need.
constexpr size_t kStackSize = 64 * 1024;
// FD_SETSIZE, and what the kernel itself begins with.
constexpr rlim_t kSoftFileLimit = 1024;

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

void LimitFiles() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur <= kSoftFileLimit) return;
  limit.rlim_cur = kSoftFileLimit;
  // Lowering one's own soft limit is always allowed.
  setrlimit(RLIMIT_NOFILE, &limit);
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
  LimitFiles();
  if (request.new_session && setsid() == -1) Fail(plan, "setsid");
  PlaceStdio(plan);
  if (request.controlling_terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) == -1) Fail(plan, "ioctl(TIOCSCTTY)");
  // Not left to exec: what follows may hang in a file system that does not answer, and copies of our descriptors would
  // keep the other ends of pipes and connections from their end all the while. Linux before 5.9 lacks it.
  syscall(SYS_close_range, 3U, ~0U, 0U);
  if (!request.working_directory.empty() && chdir(request.working_directory.c_str()) == -1) Fail(plan, "chdir");
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

}  // namespace

// While the kernel may write the pidfd, and while it is of use to who gives up.
struct SpawnUnderWay {
  explicit SpawnUnderWay(SpawnHandle* handle) : handle(handle) {
    std::lock_guard<std::mutex> lock(handle->mutex_);
    if (handle->is_given_up_) throw SystemCallError("clone", ECANCELED);
  }
  ~SpawnUnderWay() {
    std::lock_guard<std::mutex> lock(handle->mutex_);
    handle->is_over_ = true;
  }
  SpawnUnderWay(const SpawnUnderWay&) = delete;
  SpawnUnderWay& operator=(const SpawnUnderWay&) = delete;
  int* PidfdAddress() { return reinterpret_cast<int*>(&handle->pidfd_); }

  SpawnHandle* handle;
};

void SpawnHandle::GiveUp() noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  is_given_up_ = true;
  int pidfd = pidfd_.load();
  if (is_over_ || pidfd < 0) return;
  syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
}

SpawnResult Spawn(const SpawnRequest& request) {
  ChildPlan plan;
  plan.request = &request;
  plan.argv = PointersTo(request.arguments);
  plan.envp = PointersTo(request.environment);
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.IsOpen()) ThrowErrno("open(/dev/null)");
  for (size_t i = 0; i < 3; i++) plan.stdio[i] = request.stdio[i].IsOpen() ? request.stdio[i].Get() : null.Get();

  Stack stack;
  SpawnHandle unshared;
  pid_t pid;
  int pidfd;
  int error;
  {
    SpawnUnderWay under_way(request.handle ? request.handle.get() : &unshared);
    // A signal handler of ours must not run in the child while it shares our memory.
    AllSignalsBlocked blocked;
    pid = clone(RunChild, stack.Top(), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, under_way.PidfdAddress());
    error = errno;
    pidfd = *under_way.PidfdAddress();
  }
  if (pid == -1) throw SystemCallError("clone", error);
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
  auto kind = request->is_runtime ? JobThreads::Kind::kRuntime : JobThreads::Kind::kOtherProgram;
  auto result = std::make_shared<SpawnResult>();
  auto message = std::make_shared<MainLoop::Message>(
      MainLoop::Prepare([result, done = std::move(done)] { done(std::move(*result)); }));
  // std::function wants to be able to copy what it holds.
  std::shared_ptr<SpawnRequest> shared = std::move(request);
  auto job = [shared, loop = std::move(loop), result, message]() mutable {
    try {
      *result = Spawn(*shared);
    } catch (const SystemCallError& failure) {
      result->error = failure.Error();
      result->step = failure.Call();
    } catch (const std::exception&) {
      result->error = ENOMEM;
      result->step = "spawn";
    }
    // The duplicates of the child's descriptors are closed before anyone hears of the child: a reader waits
    // for the end of file of exactly these.
    shared.reset();
    loop->Post(std::move(*message));
  };
  shared.reset();
  JobThreads::Get().Add(kind, std::move(job));
}

}  // namespace hvsock
