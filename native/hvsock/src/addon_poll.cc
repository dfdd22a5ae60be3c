#include "addon.h"

namespace hvsock {
namespace {

using Info = Napi::CallbackInfo;

// new Poll(fd, callback): watches a descriptor. callback(events) gets READABLE | WRITABLE ..., or a negated errno.
class Poll : public Napi::ObjectWrap<Poll> {
 public:
  explicit Poll(const Info& info) : Napi::ObjectWrap<Poll>(info) {
    Napi::Env env = info.Env();
    int fd = FdArgument(info, 0);
    callback_ = Napi::Persistent(FunctionArgument(info, 1, "callback"));
    try {
      poll_ = FdPoll::Open(Data(env).loop->Loop(), fd, [this, env](int events) { Happened(env, events); });
    } catch (const SystemCallError& failure) {
      throw SystemError(env, failure.Call(), failure.Error());
    }
    Data(env).polls.insert(poll_);
    Ref();  // an open watch is not garbage, even when nothing but the loop knows of it
  }

  void Start(const Info& info) {
    if (poll_ == nullptr) throw Napi::Error::New(info.Env(), "Poll: start after close");
    int events = static_cast<int>(IntegerArgument(info, 0, "events", 1, UV_READABLE | UV_WRITABLE | UV_DISCONNECT));
    try {
      poll_->Start(events);
    } catch (const SystemCallError& failure) {
      throw SystemError(info.Env(), failure.Call(), failure.Error());
    }
  }

  void Stop(const Info&) {
    if (poll_ != nullptr) poll_->Stop();
  }

  void SetKeepsLoopAlive(const Info& info) {
    bool on = BooleanArgument(info, 0, "on");
    if (poll_ != nullptr) poll_->SetKeepsLoopAlive(on);
  }

  void Close(const Info& info) {
    if (poll_ == nullptr) return;
    Data(info.Env()).polls.erase(poll_);
    poll_->Close();
    poll_ = nullptr;
    // The callback knows our owner, and the owner us: kept, the three would keep each other for ever.
    callback_.Reset();
    Unref();
  }

 private:
  void Happened(Napi::Env env, int events) {
    OnLoop(env, [&] { CallBack(env, callback_, {Napi::Number::New(env, events)}); });
  }

  Napi::FunctionReference callback_;
  FdPoll* poll_ = nullptr;
};

}  // namespace

void ExportPoll(Napi::Env env, Napi::Object exports) {
  exports.Set("Poll", Poll::DefineClass(env, "Poll",
                                        {
                                            Poll::InstanceMethod<&Poll::Start>("start"),
                                            Poll::InstanceMethod<&Poll::Stop>("stop"),
                                            Poll::InstanceMethod<&Poll::SetKeepsLoopAlive>("setKeepsLoopAlive"),
                                            Poll::InstanceMethod<&Poll::Close>("close"),
                                        }));
  exports.Set("READABLE", Napi::Number::New(env, UV_READABLE));
  exports.Set("WRITABLE", Napi::Number::New(env, UV_WRITABLE));
  exports.Set("DISCONNECT", Napi::Number::New(env, UV_DISCONNECT));
}

}  // namespace hvsock
