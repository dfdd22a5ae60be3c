#include "addon.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "relay_engine.h"

namespace hvsock {

AddonData& Data(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

Napi::Error SystemError(Napi::Env env, const char* call, int error) {
  char code[64];
  uv_err_name_r(-error, code, sizeof(code));
  char text[128];
  // The GNU variant returns the text, which need not be in the buffer.
  std::string message = std::string(call) + ": " + code + ", " + strerror_r(error, text, sizeof(text));
  Napi::Error made = Napi::Error::New(env, message);
  made.Set("code", Napi::String::New(env, code));
  made.Set("errno", Napi::Number::New(env, error));
  made.Set("syscall", Napi::String::New(env, call));
  return made;
}

uint64_t KeepCallback(Napi::Env env, Napi::Function function) {
  AddonData& data = Data(env);
  uint64_t id = ++data.last_callback;
  data.callbacks.emplace(id, Napi::Persistent(function));
  return id;
}

Napi::FunctionReference TakeCallback(Napi::Env env, uint64_t id) {
  AddonData& data = Data(env);
  auto kept = data.callbacks.find(id);
  Napi::FunctionReference function = std::move(kept->second);
  data.callbacks.erase(kept);
  return function;
}

void CallBack(Napi::Env env, const Napi::FunctionReference& function, const std::vector<napi_value>& arguments) {
  function.MakeCallback(env.Global(), arguments);
}

void Uncaught(Napi::Env env, const Napi::Error& thrown) {
  // Fails where JavaScript may run no more, and there is nobody to tell that.
  napi_fatal_exception(env, thrown.Value());
}

bool IsIntegerWithin(double value, int64_t low, int64_t high) {
  return std::trunc(value) == value && value >= static_cast<double>(low) && value <= static_cast<double>(high);
}

std::string WithoutNul(Napi::Env env, std::string text, const char* name) {
  if (text.find('\0') == std::string::npos) return text;
  throw Napi::TypeError::New(env, std::string(name) + " must not hold NUL bytes");
}

int64_t IntegerArgument(const Napi::CallbackInfo& info, size_t index, const char* name, int64_t low, int64_t high) {
  if (!info[index].IsNumber()) throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a number");
  double value = info[index].As<Napi::Number>().DoubleValue();
  if (!IsIntegerWithin(value, low, high)) {
    throw Napi::RangeError::New(info.Env(), std::string(name) + " must be an integer from " + std::to_string(low) +
                                                " to " + std::to_string(high));
  }
  return static_cast<int64_t>(value);
}

int FdArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return static_cast<int>(IntegerArgument(info, index, name, 0, std::numeric_limits<int>::max()));
}

int OptionalFdArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (info[index].IsNull() || info[index].IsUndefined()) return -1;
  return FdArgument(info, index, name);
}

std::string StringArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsString()) throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a string");
  return info[index].As<Napi::String>().Utf8Value();
}

std::string TextArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return WithoutNul(info.Env(), StringArgument(info, index, name), name);
}

bool BooleanArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsBoolean()) throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a boolean");
  return info[index].As<Napi::Boolean>().Value();
}

Napi::Function FunctionArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsFunction()) throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a function");
  return info[index].As<Napi::Function>();
}

Napi::Value FdPair(Napi::Env env, UniqueFd first, UniqueFd second) {
  Napi::Array pair = Napi::Array::New(env, 2);
  pair.Set(0U, Napi::Number::New(env, first.Release()));
  pair.Set(1U, Napi::Number::New(env, second.Release()));
  return pair;
}

namespace {

Napi::Object Initialise(Napi::Env env, Napi::Object exports) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) throw Napi::Error::New(env, "no event loop");
  auto* data = new AddonData();
  env.SetInstanceData<AddonData>(data);
  try {
    data->loop = MainLoop::Open(loop);
  } catch (const SystemCallError& failure) {
    throw SystemError(env, failure.Call(), failure.Error());
  }
  env.AddCleanupHook([data] {
    for (FdPoll* poll : data->polls) poll->Close();
    data->polls.clear();
    for (SignalWatch* watch : data->signals) watch->Close();
    data->signals.clear();
    for (const std::shared_ptr<Relay>& relay : data->relays) RelayEngine::Cancel(relay);
    data->relays.clear();
    data->callbacks.clear();
    data->loop->Close();
  });
  ExportBackground(env, exports);
  ExportDescriptors(env, exports);
  ExportPoll(env, exports);
  ExportProcess(env, exports);
  ExportRelay(env, exports);
  ExportSignal(env, exports);
  ExportRootFile(env, exports);
  ExportSocket(env, exports);
  ExportSystem(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(hvsock, Initialise)

}  // namespace hvsock
