#include <limits>

#include "addon.h"
#include "root_file.h"

namespace hvsock {
namespace {

// readInRoot(root, path, maximum, callback)
// callback(error | null, null | {mode, owner, size, bytes}); null: there is no such file
Napi::Value ReadFileInRoot(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string root = TextArgument(info, 0, "root");
  std::string path = TextArgument(info, 1, "path");
  auto maximum = static_cast<size_t>(IntegerArgument(info, 2, "maximum", 0, std::numeric_limits<int>::max()));
  uint64_t callback = KeepCallback(env, FunctionArgument(info, 3, "callback"));
  auto done = [env, callback](RootFile file) {
    OnLoop(env, [&] {
      Napi::FunctionReference function = TakeCallback(env, callback);
      bool absent = file.error == ENOENT || file.error == ENOTDIR;
      if (file.error != 0 && !absent) {
        CallBack(env, function, {SystemError(env, file.call, file.error).Value()});
        return;
      }
      if (absent) {
        CallBack(env, function, {env.Null(), env.Null()});
        return;
      }
      Napi::Object made = Napi::Object::New(env);
      made.Set("mode", Napi::Number::New(env, file.mode));
      made.Set("owner", Napi::Number::New(env, file.owner));
      made.Set("size", Napi::Number::New(env, static_cast<double>(file.size)));
      made.Set("bytes", Napi::Buffer<char>::Copy(env, file.bytes.data(), file.bytes.size()));
      CallBack(env, function, {env.Null(), made});
    });
  };
  try {
    ReadInRoot(std::move(root), std::move(path), maximum, Data(env).loop, done);
  } catch (...) {
    TakeCallback(env, callback);
    throw;
  }
  return env.Undefined();
}

}  // namespace

void ExportRootFile(Napi::Env, Napi::Object exports) { Export<ReadFileInRoot>(exports, "readInRoot"); }

}  // namespace hvsock
