#include "relay_engine.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <climits>
#include <new>
#include <vector>

#include "system_call_error.h"

namespace hvsock {
namespace {

// The lowest bit of a relay's address tells which of its descriptors an event is for.
constexpr uintptr_t kSinkBit = 1;
// No relay's address.
constexpr uintptr_t kWake = 0;
constexpr uintptr_t kNobody = 2;
// A busy machine, too, makes a call sleep for a while now and then; not for so long, and not the same relay's again.
constexpr auto kOnceIsEnough = std::chrono::seconds(1);

}  // namespace

RelayEngine& RelayEngine::Get() {
  static auto* instance = new RelayEngine(false);  // never destroyed: its threads outlive static destructors
  return *instance;
}

RelayEngine& RelayEngine::Second() {
  static auto* instance = new RelayEngine(true);
  return *instance;
}

RelayEngine::RelayEngine(bool is_second)
    : is_second_(is_second),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      null_(open("/dev/null", O_RDWR | O_CLOEXEC)),
      threads_(this) {
  if (!epoll_.IsOpen() || !wake_.IsOpen() || !null_.IsOpen()) ThrowErrno("relay engine");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWake;
  if (epoll_ctl(epoll_.Get(), EPOLL_CTL_ADD, wake_.Get(), &event) == -1) ThrowErrno("epoll_ctl");
  threads_.Start();
}

uint8_t* RelayEngine::Buffer() {
  thread_local std::vector<uint8_t> buffer(kBufferSize);
  return buffer.data();
}

void RelayEngine::Add(std::shared_ptr<Relay> relay) {
  RelayEngine& engine = Get();
  relay->home = &engine;
  std::list<RelayCommand> command(1);
  command.front().kind = RelayCommand::Kind::kAdd;
  command.front().relay.push_back(std::move(relay));
  engine.Post(std::move(command));
}

void RelayEngine::Drain(std::shared_ptr<Relay> relay, const DrainOptions& options) {
  RelayEngine* engine = relay->home;
  std::list<RelayCommand> command(1);
  command.front().kind = RelayCommand::Kind::kDrain;
  command.front().drain = options;
  command.front().relay.push_back(std::move(relay));
  engine->Post(std::move(command));
}

void RelayEngine::Cancel(std::shared_ptr<Relay> relay) {
  RelayEngine* engine = relay->home;
  std::list<RelayCommand> command(1);
  command.front().kind = RelayCommand::Kind::kCancel;
  command.front().relay.push_back(std::move(relay));
  engine->Post(std::move(command));
}

void RelayEngine::Call(std::function<void()> call, std::shared_ptr<MainLoop> loop, MainLoop::Message done) {
  std::list<RelayCommand> command(1);
  command.front().kind = RelayCommand::Kind::kCall;
  command.front().call = std::move(call);
  command.front().loop = std::move(loop);
  command.front().done = std::move(done);
  Get().Post(std::move(command));
}

void RelayEngine::Post(std::list<RelayCommand> command) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  commands_.splice(commands_.end(), command);
  if (commands_.size() == 1) Interrupt();  // else it was woken already
}

void RelayEngine::Interrupt() noexcept {
  uint64_t one = 1;
  // It cannot fail: the counter is far from its maximum.
  [[maybe_unused]] ssize_t written = write(wake_.Get(), &one, sizeof(one));
}

// A round: what has happened, what was asked for, what is due, then one turn for each relay that is ready by then.
// Its state is the engine's, not the thread's: the next thread goes on where this one hangs.
void RelayEngine::Step() noexcept {
  if (next_event_ < event_count_) return RunEvent(events_[next_event_++]);
  if (has_news_) TakeCommands();
  if (!running_.empty()) return RunCommand();
  if (RunDeadline()) return;
  if (!is_in_turns_) {
    is_in_turns_ = true;
    turns_left_ = ready_.size();
  }
  if (turns_left_ > 0 && !ready_.empty()) {
    turns_left_--;
    return RunTurn();
  }
  Wait();
}

void RelayEngine::Wait() noexcept {
  closed_.clear();
  is_in_turns_ = false;
  int timeout = Timeout();
  if (timeout != 0) threads_.BeginRest();
  int count = epoll_wait(epoll_.Get(), events_.data(), static_cast<int>(events_.size()), timeout);
  if (timeout != 0) threads_.EndRest();
  event_count_ = static_cast<size_t>(std::max(count, 0));
  next_event_ = 0;
  if (!deadlines_.empty()) now_ = Clock::now();
}

int RelayEngine::Timeout() const {
  if (!ready_.empty()) return 0;
  if (deadlines_.empty()) return -1;
  auto left = std::chrono::ceil<std::chrono::milliseconds>(deadlines_.begin()->first - Clock::now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
}

template <typename Action>
void RelayEngine::Act(Relay* relay, Action action) noexcept {
  acting_ = relay;
  try {
    action();
  } catch (const std::exception&) {
    // bad_alloc: nothing else is thrown here.
    relay->Fail(ENOMEM);
  }
  Settle(relay);
  acting_ = nullptr;
}

void RelayEngine::RunEvent(const epoll_event& event) noexcept {
  uintptr_t tagged = event.data.u64;
  if (tagged == kNobody) return;
  if (tagged == kWake) {
    has_news_ = true;
    return;
  }
  auto* relay = reinterpret_cast<Relay*>(tagged & ~kSinkBit);
  // One that is away is told anew of what has happened when it is back.
  if (relay->IsClosed() || relay->is_away) return;
  auto side = (tagged & kSinkBit) != 0 ? Relay::Side::kSink : Relay::Side::kSource;
  uint32_t events = event.events;
  Act(relay, [&] {
    if (relay->OnEvents(side, events)) Enqueue(relay);
  });
}

void RelayEngine::TakeCommands() noexcept {
  has_news_ = false;
  uint64_t count;
  [[maybe_unused]] ssize_t got = read(wake_.Get(), &count, sizeof(count));
  std::lock_guard<std::mutex> lock(mutex_);
  running_.splice(running_.end(), commands_);
}

void RelayEngine::RunCommand() noexcept {
  std::list<RelayCommand> command;
  command.splice(command.end(), running_, running_.begin());
  RelayCommand& what = command.front();
  if (what.kind != RelayCommand::Kind::kCall) return RunRelayCommand(std::move(command));
  Outside([&] {
    what.call();
    return 0;
  });
  what.loop->Post(std::move(what.done));
}

void RelayEngine::RunRelayCommand(std::list<RelayCommand> command) noexcept {
  RelayCommand& what = command.front();
  Relay* relay = what.relay.front().get();
  if (what.kind == RelayCommand::Kind::kAdd || what.kind == RelayCommand::Kind::kMovedHere) {
    bool is_new = what.kind == RelayCommand::Kind::kAdd;
    relay->place = what.relay.begin();
    relays_.splice(relays_.end(), what.relay);
    Act(relay, [&] {
      is_new ? relay->Start(this) : relay->Attach(this);
      if (!relay->IsClosed()) Enqueue(relay);
    });
    return;
  }
  if (RelayEngine* home = relay->home; home != this) return home->Post(std::move(command));
  if (relay->is_away) {
    if (what.kind == RelayCommand::Kind::kCancel) relay->TellEnd(EndReason::kCancelled, 0);
    relay->postponed.splice(relay->postponed.end(), command);
    return;
  }
  Act(relay, [&] { what.kind == RelayCommand::Kind::kDrain ? relay->Drain(what.drain) : relay->Cancel(); });
}

bool RelayEngine::RunDeadline() noexcept {
  if (deadlines_.empty() || deadlines_.begin()->first > now_) return false;
  Relay* relay = deadlines_.begin()->second;
  Schedule(relay, std::nullopt);
  Act(relay, [&] {
    relay->OnDeadline(now_);
    if (!relay->IsClosed()) Enqueue(relay);
  });
  return true;
}

void RelayEngine::RunTurn() noexcept {
  Relay* relay = ready_.front();
  Dequeue(relay);
  Act(relay, [&] {
    if (relay->Run() == Relay::Turn::kAgain) Enqueue(relay);
  });
}

void RelayEngine::Enqueue(Relay* relay) noexcept {
  if (relay->is_queued) return;
  relay->is_queued = true;
  relay->turn = relay->unqueued.begin();
  ready_.splice(ready_.end(), relay->unqueued);
}

void RelayEngine::Dequeue(Relay* relay) noexcept {
  if (!relay->is_queued) return;
  relay->is_queued = false;
  relay->unqueued.splice(relay->unqueued.end(), ready_, relay->turn);
}

void RelayEngine::Schedule(Relay* relay, std::optional<Clock::time_point> when) noexcept {
  if (relay->scheduled == when) return;
  if (relay->scheduled) relay->unscheduled = deadlines_.extract({*relay->scheduled, relay});
  relay->scheduled = when;
  if (!when) return;
  relay->unscheduled.value() = {*when, relay};
  deadlines_.insert(std::move(relay->unscheduled));
}

void RelayEngine::Settle(Relay* relay) noexcept {
  if (!relay->IsClosed() && relay->LostWatch() != 0) relay->Fail(relay->LostWatch());
  if (!relay->IsClosed() && relay->holds_up && !is_second_ && MoveAway(relay)) return;
  Schedule(relay, relay->IsClosed() ? std::nullopt : relay->Deadline());
  if (!relay->IsClosed() || relay->has_left) return;
  relay->has_left = true;
  Dequeue(relay);
  closed_.splice(closed_.end(), relays_, relay->place);
}

// What hangs at its descriptors' other ends is likely to do so again.
bool RelayEngine::MoveAway(Relay* relay) noexcept {
  std::list<RelayCommand> command;
  RelayEngine* second;
  try {
    second = &Second();
    command.resize(1);
  } catch (const std::exception&) {
    return false;  // no descriptor, thread or memory: it stays here
  }
  relay->Detach();
  Dequeue(relay);
  Schedule(relay, std::nullopt);
  for (size_t i = next_event_; i < event_count_; i++) {
    auto* other = reinterpret_cast<Relay*>(events_[i].data.u64 & ~kSinkBit);
    if (other == relay) events_[i].data.u64 = kNobody;
  }
  command.front().kind = RelayCommand::Kind::kMovedHere;
  command.front().relay.splice(command.front().relay.end(), relays_, relay->place);
  std::shared_ptr<Relay> kept = command.front().relay.front();
  second->Post(std::move(command));
  // What is asked for until now is asked of this engine, which passes it on.
  kept->home = second;
  return true;
}

void RelayEngine::LeadTaken() noexcept {
  Relay* relay = acting_;
  acting_ = nullptr;
  if (relay == nullptr) return;
  relay->is_away = true;
  relay->away_since = Clock::now();
  relay->times_away++;
  relay->was_queued = relay->is_queued;
  Dequeue(relay);
  Schedule(relay, std::nullopt);
  relay->Detach();
}

void RelayEngine::ComeBack(Relay* relay) noexcept {
  threads_.WaitForLead();
  acting_ = relay;
  if (relay == nullptr) return;
  relay->is_away = false;
  relay->holds_up = relay->times_away > 1 || Clock::now() - relay->away_since >= kOnceIsEnough;
  relay->Attach(this);
  if (relay->was_queued) Enqueue(relay);
  running_.splice(running_.begin(), relay->postponed);
}

}  // namespace hvsock
