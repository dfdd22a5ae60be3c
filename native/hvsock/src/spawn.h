#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "main_loop.h"
#include "unique_fd.h"

namespace hvsock {

// Lets go of a start that hangs before the program runs: in the look-up of a path, say, that no server answers.
class SpawnHandle {
 public:
  // From any thread. The child is killed if it has not executed its program yet, which ends the start as far as the
  // kernel lets a signal end the wait; a start that waits for its turn fails with ECANCELED when that comes.
  void GiveUp() noexcept;

 private:
  friend struct SpawnUnderWay;
  static_assert(sizeof(std::atomic<int>) == sizeof(int), "the kernel writes into it");

  std::mutex mutex_;
  bool is_given_up_ = false;
  bool is_over_ = false;
  std::atomic<int> pidfd_{-1};  // the kernel's write comes before the child's first instruction
};

struct SpawnRequest {
  std::vector<std::string> candidates;  // absolute or relative paths, tried in order like execvpe(3)
  std::vector<std::string> arguments;   // argv[0] included
  std::vector<std::string> environment;
  std::string working_directory;  // empty: ours
  std::array<UniqueFd, 3> stdio;  // own duplicates; one that is not open means /dev/null
  bool new_session = false;
  bool controlling_terminal = false;  // descriptor 0 becomes the terminal of the new session
  bool no_host_sockets = false;       // host_socket_filter.h, for it and all that it starts
  bool is_runtime = false;            // in the background: not held up by others, nor holds them up
  std::shared_ptr<SpawnHandle> handle;
};

struct SpawnResult {
  pid_t pid = -1;
  UniqueFd pidfd;
  int error = 0;               // errno of the step that failed; no child is left then
  const char* step = nullptr;  // a string literal
};

// Starts the child on the calling thread with vfork semantics: the thread sleeps until the child has executed
// its program or failed to, which keeps the cost independent of how much memory this process maps. Every other
// descriptor of the child is closed before it looks for its program, signals are at their defaults and unblocked, and
// the soft limit of open files is 1024 at most: Node raises its own, and a program that uses select(2) or closes all
// descriptors one by one is not made for a million.
SpawnResult Spawn(const SpawnRequest& request);

// The same on a thread that lives as long as the process: a child that asked for a parent-death signal gets it when the
// *thread* that made it ends. One that is slow holds up no other for longer than a moment (job_threads.h).
void SpawnInBackground(std::unique_ptr<SpawnRequest> request, std::shared_ptr<MainLoop> loop,
                       std::function<void(SpawnResult)> done);

}  // namespace hvsock
