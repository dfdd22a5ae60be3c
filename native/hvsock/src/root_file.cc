#include "root_file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "job_threads.h"
#include "system_call_error.h"
#include "unique_fd.h"

namespace hvsock {
namespace {

// openat2(2): EAGAIN when something below the root was renamed meanwhile, which a container can keep up.
constexpr int kMaximumAttempts = 64;

UniqueFd OpenPathInRoot(int root, const std::string& path) {
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  long fd = -1;
  for (int attempt = 0; attempt < kMaximumAttempts; attempt++) {
    fd = RetryOnInterrupt([&] { return syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how)); });
    if (fd != -1 || errno != EAGAIN) break;
  }
  if (fd == -1) ThrowErrno("openat2");
  return UniqueFd(static_cast<int>(fd));
}

void ReadAll(int fd, size_t maximum, std::string& bytes) {
  constexpr size_t kStep = 64 * 1024;
  while (bytes.size() < maximum) {
    size_t before = bytes.size();
    bytes.resize(std::min(maximum, before + kStep));
    ssize_t count = RetryOnInterrupt([&] { return read(fd, &bytes[before], bytes.size() - before); });
    if (count == -1) ThrowErrno("read");
    bytes.resize(before + static_cast<size_t>(count));
    if (count == 0) return;
  }
}

void Read(const std::string& rootPath, const std::string& path, size_t maximum, RootFile& result) {
  UniqueFd root(RetryOnInterrupt([&] { return open(rootPath.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC); }));
  if (!root.IsOpen()) ThrowErrno("open");
  UniqueFd place = OpenPathInRoot(root.Get(), path);
  struct stat status = {};
  if (fstat(place.Get(), &status) == -1) ThrowErrno("fstat");
  result.found = true;
  result.mode = status.st_mode;
  result.owner = status.st_uid;
  result.size = static_cast<uint64_t>(status.st_size);
  if (!S_ISREG(status.st_mode) || maximum == 0) return;
  // The very file that was looked at, whatever has its name by now. Opening a device would already be an act of
  // its driver, and opening a FIFO waits.
  std::string again = "/proc/self/fd/" + std::to_string(place.Get());
  UniqueFd file(RetryOnInterrupt([&] { return open(again.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); }));
  if (!file.IsOpen()) ThrowErrno("open");
  ReadAll(file.Get(), maximum, result.bytes);
}

}  // namespace

void ReadInRoot(std::string root, std::string path, size_t maximum, std::shared_ptr<MainLoop> loop,
                std::function<void(RootFile)> done) {
  auto result = std::make_shared<RootFile>();
  auto message = std::make_shared<MainLoop::Message>(
      MainLoop::Prepare([result, done = std::move(done)] { done(std::move(*result)); }));
  auto job = [root = std::move(root), path = std::move(path), maximum, loop = std::move(loop), result, message] {
    try {
      Read(root, path, maximum, *result);
    } catch (const SystemCallError& failure) {
      result->error = failure.Error();
      result->call = failure.Call();
    } catch (const std::exception&) {
      result->error = ENOMEM;
      result->call = "read";
    }
    loop->Post(std::move(*message));
  };
  JobThreads::Get().Add(JobThreads::Kind::kFile, std::move(job));
}

}  // namespace hvsock
