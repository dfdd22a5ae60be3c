#include <limits>

#include "addon.h"
#include "descriptors.h"
#include "pidfd.h"
#include "spawn.h"

namespace hvsock {
namespace {

using Info = Napi::CallbackInfo;

std::vector<std::string> StringsArgument(const Info& info, size_t index, const char* name) {
  if (!info[index].IsArray()) throw Napi::TypeError::New(info.Env(), std::string(name) + " must be an array");
  auto array = info[index].As<Napi::Array>();
  std::vector<std::string> strings;
  strings.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); i++) {
    Napi::Value item = array[i];
    if (!item.IsString()) throw Napi::TypeError::New(info.Env(), std::string(name) + " must hold strings only");
    strings.push_back(WithoutNul(info.Env(), item.As<Napi::String>().Utf8Value(), name));
  }
  return strings;
}

// Duplicates of the descriptors in an array, so that the caller may close its own at once.
std::vector<UniqueFd> DuplicatesArgument(const Info& info, size_t index, const char* name) {
  if (!info[index].IsArray()) throw Napi::TypeError::New(info.Env(), std::string(name) + " must be an array");
  auto array = info[index].As<Napi::Array>();
  std::vector<UniqueFd> fds;
  for (uint32_t i = 0; i < array.Length(); i++) {
    Napi::Value item = array[i];
    if (item.IsNull()) {
      fds.emplace_back();
      continue;
    }
    double fd = item.IsNumber() ? item.As<Napi::Number>().DoubleValue() : -1;
    if (!IsIntegerWithin(fd, 0, std::numeric_limits<int>::max())) {
      throw Napi::TypeError::New(info.Env(), std::string(name) + " must hold fds or null");
    }
    fds.push_back(Duplicate(static_cast<int>(fd)));
  }
  return fds;
}

// spawn(candidates, args, env, cwd, stdio, newSession, controllingTerminal, noHostSockets, isRuntime, callback)
// callback(error | null, pid, pidfd). Returns giveUp(), see SpawnHandle.
Napi::Value SpawnChild(const Info& info) {
  Napi::Env env = info.Env();
  auto request = std::make_unique<SpawnRequest>();
  request->candidates = StringsArgument(info, 0, "candidates");
  request->arguments = StringsArgument(info, 1, "args");
  request->environment = StringsArgument(info, 2, "env");
  request->working_directory = TextArgument(info, 3, "cwd");
  std::vector<UniqueFd> stdio = DuplicatesArgument(info, 4, "stdio");
  if (stdio.size() != request->stdio.size()) throw Napi::TypeError::New(env, "stdio must have three elements");
  std::move(stdio.begin(), stdio.end(), request->stdio.begin());
  request->new_session = BooleanArgument(info, 5, "newSession");
  request->controlling_terminal = BooleanArgument(info, 6, "controllingTerminal");
  request->no_host_sockets = BooleanArgument(info, 7, "noHostSockets");
  request->is_runtime = BooleanArgument(info, 8, "isRuntime");
  auto handle = std::make_shared<SpawnHandle>();
  request->handle = handle;
  Napi::Function give_up = Napi::Function::New(env, [handle](const Info&) { handle->GiveUp(); }, "giveUp");
  uint64_t callback = KeepCallback(env, FunctionArgument(info, 9, "callback"));

  std::shared_ptr<MainLoop> loop = Data(env).loop;
  auto done = [env, loop, callback](SpawnResult result) {
    loop->Unhold();
    OnLoop(env, [&] {
      Napi::FunctionReference function = TakeCallback(env, callback);
      if (result.error != 0) {
        CallBack(env, function, {SystemError(env, result.step, result.error).Value()});
        return;
      }
      CallBack(env, function,
               {env.Null(), Napi::Number::New(env, result.pid), Napi::Number::New(env, result.pidfd.Release())});
    });
  };
  try {
    SpawnInBackground(std::move(request), loop, done);
  } catch (...) {
    TakeCallback(env, callback);
    throw;
  }
  loop->Hold();
  return give_up;
}

// pidfdOpen(pid): fd
Napi::Value OpenPidfd(const Info& info) {
  auto pid = static_cast<pid_t>(IntegerArgument(info, 0, "pid", 1, std::numeric_limits<pid_t>::max()));
  return Napi::Number::New(info.Env(), PidfdOpen(pid).Release());
}

// pidfdSendSignal(pidfd, signal): false when the process is gone
Napi::Value SignalPidfd(const Info& info) {
  int pidfd = FdArgument(info, 0, "pidfd");
  auto signal = static_cast<int>(IntegerArgument(info, 1, "signal", 0, 64));
  return Napi::Boolean::New(info.Env(), PidfdSendSignal(pidfd, signal));
}

// {state: "running" | "not-a-child"} or {state: "exited", code, signal}
Napi::Value WaitValue(Napi::Env env, const WaitResult& result) {
  Napi::Object made = Napi::Object::New(env);
  if (result.outcome != WaitOutcome::kExited) {
    made.Set("state", result.outcome == WaitOutcome::kRunning ? "running" : "not-a-child");
    return made;
  }
  bool exited = result.status.code >= 0;
  made.Set("state", "exited");
  made.Set("code", exited ? Napi::Number::New(env, result.status.code) : env.Null());
  made.Set("signal", exited ? env.Null() : Napi::Number::New(env, result.status.signal));
  return made;
}

// reapPidfd(pidfd), reapPid(pid)
Napi::Value ReapPidfd(const Info& info) { return WaitValue(info.Env(), WaitPidfd(FdArgument(info, 0, "pidfd"))); }
Napi::Value ReapPid(const Info& info) {
  auto pid = static_cast<pid_t>(IntegerArgument(info, 0, "pid", 1, std::numeric_limits<pid_t>::max()));
  return WaitValue(info.Env(), WaitInherited(pid));
}

}  // namespace

void ExportProcess(Napi::Env, Napi::Object exports) {
  Export<SpawnChild>(exports, "spawn");
  Export<OpenPidfd>(exports, "pidfdOpen");
  Export<SignalPidfd>(exports, "pidfdSendSignal");
  Export<ReapPidfd>(exports, "reapPidfd");
  Export<ReapPid>(exports, "reapPid");
}

}  // namespace hvsock
