#pragma once

#include <cerrno>
#include <exception>

namespace hvsock {

// A system call that failed: thrown by everything below the N-API layer, which turns it into a JavaScript
// error with `code`, `errno` and `syscall`.
class SystemCallError : public std::exception {
 public:
  SystemCallError(const char* call, int error) : call_(call), error_(error) {}
  const char* what() const noexcept override { return call_; }
  const char* Call() const { return call_; }
  int Error() const { return error_; }

 private:
  const char* call_;  // a string literal
  int error_;
};

[[noreturn]] inline void ThrowErrno(const char* call) { throw SystemCallError(call, errno); }

// Repeats a system call that a signal interrupted.
template <typename Call>
auto RetryOnInterrupt(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

}  // namespace hvsock
