#include <csignal>

#include "addon.h"

namespace hvsock {
namespace {

using Info = Napi::CallbackInfo;

// new Signal(number, callback): callback() whenever the signal comes.
class Signal : public Napi::ObjectWrap<Signal> {
 public:
  explicit Signal(const Info& info) : Napi::ObjectWrap<Signal>(info) {
    Napi::Env env = info.Env();
    int number = static_cast<int>(IntegerArgument(info, 0, "number", 1, SIGRTMAX));
    callback_ = Napi::Persistent(FunctionArgument(info, 1, "callback"));
    try {
      watch_ = SignalWatch::Open(Data(env).loop->Loop(), number,
                                 [this, env] { OnLoop(env, [&] { CallBack(env, callback_, {}); }); });
    } catch (const SystemCallError& failure) {
      throw SystemError(env, failure.Call(), failure.Error());
    }
    Data(env).signals.insert(watch_);
    Ref();  // an open watch is not garbage, even when nothing but the loop knows of it
  }

  void Close(const Info& info) {
    if (watch_ == nullptr) return;
    Data(info.Env()).signals.erase(watch_);
    watch_->Close();
    watch_ = nullptr;
    // As in Poll: kept, callback, owner and watch would keep each other for ever.
    callback_.Reset();
    Unref();
  }

 private:
  Napi::FunctionReference callback_;
  SignalWatch* watch_ = nullptr;
};

}  // namespace

void ExportSignal(Napi::Env env, Napi::Object exports) {
  exports.Set("Signal", Signal::DefineClass(env, "Signal", {Signal::InstanceMethod<&Signal::Close>("close")}));
  // Functions of the C library, which keeps the first real-time signals for itself.
  exports.Set("SIGRTMIN", Napi::Number::New(env, SIGRTMIN));
  exports.Set("SIGRTMAX", Napi::Number::New(env, SIGRTMAX));
}

}  // namespace hvsock
