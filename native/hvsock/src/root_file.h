#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "main_loop.h"

namespace hvsock {

struct RootFile {
  bool found = false;
  uint32_t mode = 0;   // st_mode: the kind of file
  uint32_t owner = 0;  // st_uid
  uint64_t size = 0;   // as stat says
  std::string bytes;   // of a regular file, at most as many as asked for
  int error = 0;
  const char* call = nullptr;  // a string literal, when error is not 0
};

// Looks at, and reads from, a file of a root file system whose content is not trusted. No link leads out of the
// root, nothing but a regular file is opened, and a thread does it that nothing else needs (job_threads.h), so that a
// file system that does not answer holds up nobody. `done` runs on the loop, which is not kept alive for it; it never
// runs when the kernel never answers.
void ReadInRoot(std::string root, std::string path, size_t maximum, std::shared_ptr<MainLoop> loop,
                std::function<void(RootFile)> done);

}  // namespace hvsock
