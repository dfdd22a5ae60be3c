#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "main_loop.h"
#include "unique_fd.h"

namespace hvsock {

struct SpawnRequest {
  std::vector<std::string> candidates;  // absolute or relative paths, tried in order like execvpe(3)
  std::vector<std::string> arguments;   // argv[0] included
  std::vector<std::string> environment;
  std::string working_directory;  // empty: ours
  std::array<UniqueFd, 3> stdio;  // own duplicates; one that is not open means /dev/null
  bool new_session = false;
  bool controlling_terminal = false;  // descriptor 0 becomes the terminal of the new session
  bool no_host_sockets = false;       // host_socket_filter.h, for it and all that it starts
};

struct SpawnResult {
  pid_t pid = -1;
  UniqueFd pidfd;
  int error = 0;               // errno of the step that failed; no child is left then
  const char* step = nullptr;  // a string literal
};

// Starts the child on the calling thread with vfork semantics: the thread sleeps until the child has executed
// its program or failed to, which keeps the cost independent of how much memory this process maps. Every other
// descriptor of the child is closed by exec, signals are at their defaults and unblocked.
SpawnResult Spawn(const SpawnRequest& request);

// The same on the addon's one spawning thread. It lives as long as the process (a child that asked for a
// parent-death signal gets it when the *thread* that made it ends), and it is not libuv's pool, whose threads
// may all be stuck in a hung file system.
void SpawnInBackground(std::unique_ptr<SpawnRequest> request, std::shared_ptr<MainLoop> loop,
                       std::function<void(SpawnResult)> done);

}  // namespace hvsock
