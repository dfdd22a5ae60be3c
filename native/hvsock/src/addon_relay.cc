#include <functional>
#include <memory>

#include "addon.h"
#include "descriptors.h"
#include "relay_engine.h"

namespace hvsock {
namespace {

using Info = Napi::CallbackInfo;

constexpr int64_t kShutdownSink = 1;
constexpr int64_t kShutdownSource = 2;
constexpr int64_t kDiscardAfterSinkError = 4;

// A day: longer than any drain or linger makes sense, and far from overflow.
constexpr int64_t kMostMilliseconds = 24 * 60 * 60 * 1000;

// new Relay(source, sink | null, flags, lingerMs, onEvent): owns both descriptors from here, also when it throws
// anything but an argument error. onEvent(kind, reason, errno), see RelayEvent.
class RelayObject : public Napi::ObjectWrap<RelayObject> {
 public:
  explicit RelayObject(const Info& info) : Napi::ObjectWrap<RelayObject>(info) {
    Napi::Env env = info.Env();
    int source = FdArgument(info, 0, "source");
    int sink = OptionalFdArgument(info, 1, "sink");
    if (source == sink) throw Napi::TypeError::New(env, "source and sink are one descriptor: duplicate it");
    int64_t flags = IntegerArgument(info, 2, "flags", 0, kShutdownSink | kShutdownSource | kDiscardAfterSinkError);
    RelayOptions options;
    options.shutdown_sink = (flags & kShutdownSink) != 0;
    options.shutdown_source = (flags & kShutdownSource) != 0;
    options.discard_after_sink_error = (flags & kDiscardAfterSinkError) != 0;
    options.linger = std::chrono::milliseconds(IntegerArgument(info, 3, "lingerMs", 0, kMostMilliseconds));
    lingers_ = options.linger.count() > 0;
    on_event_ = Napi::Persistent(FunctionArgument(info, 4, "onEvent"));

    Guard(env, [&] {
      UniqueFd owned_source(source);
      UniqueFd owned_sink(sink);
      status_ = std::make_shared<RelayStatus>();
      relay_ = std::make_shared<Relay>(std::move(owned_source), std::move(owned_sink), options, status_, Listener(env));
      Data(env).relays.insert(relay_);
      try {
        RelayEngine::Add(relay_);
      } catch (...) {
        Data(env).relays.erase(relay_);
        throw;
      }
    });
    Ref();  // until kClosed
    Hold(env, true);
  }

  Napi::Value Bytes(const Info& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(status_->bytes.load(std::memory_order_relaxed)));
  }

  void Cancel(const Info& info) {
    if (has_closed_) return;
    Guard(info.Env(), [&] { RelayEngine::Cancel(relay_); });
    // Whoever cancels may wait for the descriptors to be closed, which is a moment away.
    is_cancelled_ = true;
    Hold(info.Env(), true);
  }

  // drain(idleMs, limitMs)
  void Drain(const Info& info) {
    DrainOptions options;
    options.idle = std::chrono::milliseconds(IntegerArgument(info, 0, "idleMs", 0, kMostMilliseconds));
    options.limit = std::chrono::milliseconds(IntegerArgument(info, 1, "limitMs", 0, kMostMilliseconds));
    if (!has_closed_) Guard(info.Env(), [&] { RelayEngine::Drain(relay_, options); });
  }

  void SetKeepsLoopAlive(const Info& info) {
    bool on = BooleanArgument(info, 0, "on");
    if (!has_ended_) Hold(info.Env(), on);
  }

 private:
  // The relay's two pieces of news, made in advance.
  struct News {
    MainLoop::Message end;
    MainLoop::Message closed;
  };

  std::function<void(RelayEvent)> Listener(Napi::Env env) {
    auto news = std::make_shared<News>();
    auto end = std::make_shared<RelayEvent>();
    news->end = MainLoop::Prepare([this, env, end] { Happened(env, *end); });
    news->closed = MainLoop::Prepare([this, env] { Happened(env, {RelayEvent::Kind::kClosed}); });
    return [news, end, loop = Data(env).loop](RelayEvent event) {
      bool is_end = event.kind == RelayEvent::Kind::kEnd;
      if (is_end) *end = event;
      loop->Post(std::move(is_end ? news->end : news->closed));
    };
  }

  void Happened(Napi::Env env, RelayEvent event) {
    OnLoop(env, [&] {
      [[maybe_unused]] Napi::Object self = Value();  // keeps this alive through the callback
      if (event.kind == RelayEvent::Kind::kEnd) {
        has_ended_ = true;
        // Only the wait for a peer's close, which may be long, does not keep the process.
        if (lingers_ && !is_cancelled_) Hold(env, false);
      } else {
        has_closed_ = true;
        Hold(env, false);
        Data(env).relays.erase(relay_);
        relay_.reset();
      }
      std::vector<napi_value> arguments{Napi::Number::New(env, static_cast<int>(event.kind)),
                                        Napi::Number::New(env, static_cast<int>(event.reason)),
                                        Napi::Number::New(env, event.error)};
      if (!has_closed_) {
        CallBack(env, on_event_, arguments);
        return;
      }
      // The callback knows our owner, and the owner us: kept, the three would keep each other for ever.
      Napi::FunctionReference last = std::move(on_event_);
      Unref();
      CallBack(env, last, arguments);
    });
  }

  void Hold(Napi::Env env, bool on) {
    if (on == holds_) return;
    holds_ = on;
    on ? Data(env).loop->Hold() : Data(env).loop->Unhold();
  }

  Napi::FunctionReference on_event_;
  std::shared_ptr<RelayStatus> status_;
  std::shared_ptr<Relay> relay_;
  bool holds_ = false;
  bool lingers_ = false;
  bool is_cancelled_ = false;
  bool has_ended_ = false;
  bool has_closed_ = false;
};

}  // namespace

void ExportRelay(Napi::Env env, Napi::Object exports) {
  exports.Set("Relay", RelayObject::DefineClass(
                           env, "Relay",
                           {
                               RelayObject::InstanceAccessor<&RelayObject::Bytes>("bytes"),
                               RelayObject::InstanceMethod<&RelayObject::Cancel>("cancel"),
                               RelayObject::InstanceMethod<&RelayObject::Drain>("drain"),
                               RelayObject::InstanceMethod<&RelayObject::SetKeepsLoopAlive>("setKeepsLoopAlive"),
                           }));
}

}  // namespace hvsock
