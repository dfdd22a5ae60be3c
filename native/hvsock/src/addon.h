#pragma once

#include <napi.h>
#include <sys/types.h>

#include <memory>
#include <new>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fd_poll.h"
#include "main_loop.h"
#include "signal_watch.h"
#include "system_call_error.h"
#include "unique_fd.h"

// What the addon_*.cc files share: they check arguments and map to JavaScript, and are the only ones that know
// N-API.
namespace hvsock {

class Relay;

// One per environment (the main thread, each worker).
struct AddonData {
  std::shared_ptr<MainLoop> loop;
  std::unordered_set<FdPoll*> polls;
  std::unordered_set<SignalWatch*> signals;
  std::unordered_set<std::shared_ptr<Relay>> relays;
  // What waits for an answer of another thread. The answer knows the id alone: a reference belongs to its
  // environment's thread, and may outlive neither.
  std::unordered_map<uint64_t, Napi::FunctionReference> callbacks;
  uint64_t last_callback = 0;
};

AddonData& Data(Napi::Env env);

uint64_t KeepCallback(Napi::Env env, Napi::Function function);
Napi::FunctionReference TakeCallback(Napi::Env env, uint64_t id);

// A JavaScript Error with `code` ("ENOENT"), `errno` (positive) and `syscall`.
Napi::Error SystemError(Napi::Env env, const char* call, int error);

// What the event loop calls goes through this: no C++ exception may unwind through libuv. One of JavaScript that nobody
// caught is the process's uncaught exception; in a worker that is being terminated there is nobody to tell.
template <typename Body>
void OnLoop(Napi::Env env, Body body);

// Calls back into JavaScript from within OnLoop, then runs what that made ready (promises, ticks).
void CallBack(Napi::Env env, const Napi::FunctionReference& function, const std::vector<napi_value>& arguments);

bool IsIntegerWithin(double value, int64_t low, int64_t high);
// The text. Throws a TypeError where it holds a NUL, at which the kernel would cut it off.
std::string WithoutNul(Napi::Env env, std::string text, const char* name);

// Arguments. All throw a TypeError or RangeError that names the argument.
int64_t IntegerArgument(const Napi::CallbackInfo& info, size_t index, const char* name, int64_t low, int64_t high);
int FdArgument(const Napi::CallbackInfo& info, size_t index, const char* name = "fd");
int OptionalFdArgument(const Napi::CallbackInfo& info, size_t index, const char* name);  // -1 for none
std::string StringArgument(const Napi::CallbackInfo& info, size_t index, const char* name);
std::string TextArgument(const Napi::CallbackInfo& info, size_t index, const char* name);  // as WithoutNul
bool BooleanArgument(const Napi::CallbackInfo& info, size_t index, const char* name);
Napi::Function FunctionArgument(const Napi::CallbackInfo& info, size_t index, const char* name);

Napi::Value FdPair(Napi::Env env, UniqueFd first, UniqueFd second);

// Does the work; whatever C++ exception comes of it becomes a JavaScript error: none may cross N-API's border.
template <typename Work>
auto Guard(Napi::Env env, Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (const SystemCallError& failure) {
    throw SystemError(env, failure.Call(), failure.Error());
  } catch (const std::bad_alloc&) {
    throw SystemError(env, "malloc", ENOMEM);
  } catch (const std::exception& failure) {
    throw Napi::Error::New(env, failure.what());
  }
}

void Uncaught(Napi::Env env, const Napi::Error& thrown);

template <typename Body>
void OnLoop(Napi::Env env, Body body) {
  Napi::HandleScope scope(env);
  try {
    Guard(env, body);
  } catch (const Napi::Error& thrown) {
    Uncaught(env, thrown);
  }
}

template <Napi::Value (*implementation)(const Napi::CallbackInfo&)>
Napi::Value Guarded(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] { return implementation(info); });
}

template <Napi::Value (*implementation)(const Napi::CallbackInfo&)>
void Export(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New(exports.Env(), Guarded<implementation>, name));
}

void ExportBackground(Napi::Env env, Napi::Object exports);
void ExportDescriptors(Napi::Env env, Napi::Object exports);
void ExportPoll(Napi::Env env, Napi::Object exports);
void ExportProcess(Napi::Env env, Napi::Object exports);
void ExportRelay(Napi::Env env, Napi::Object exports);
void ExportSignal(Napi::Env env, Napi::Object exports);
void ExportRootFile(Napi::Env env, Napi::Object exports);
void ExportSocket(Napi::Env env, Napi::Object exports);
void ExportSystem(Napi::Env env, Napi::Object exports);

}  // namespace hvsock
