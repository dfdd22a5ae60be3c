#include "relay_engine.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <climits>

#include "detached_thread.h"
#include "system_call_error.h"

namespace hvsock {
namespace {

// The lowest bit of a relay's address tells which of its descriptors an event is for.
constexpr uintptr_t kSinkBit = 1;

}  // namespace

RelayEngine& RelayEngine::Get() {
  static auto* instance = new RelayEngine();  // never destroyed: its thread outlives static destructors
  return *instance;
}

RelayEngine::RelayEngine()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      null_(open("/dev/null", O_RDWR | O_CLOEXEC)),
      buffer_(kBufferSize) {
  if (!epoll_.IsOpen() || !wake_.IsOpen() || !null_.IsOpen()) ThrowErrno("relay engine");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = 0;
  if (epoll_ctl(epoll_.Get(), EPOLL_CTL_ADD, wake_.Get(), &event) == -1) ThrowErrno("epoll_ctl");
  StartDetached([this] { Run(); });
}

RelayEngine::Id RelayEngine::Add(std::unique_ptr<Relay> relay) {
  Id id;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    id = ++last_id_;
  }
  Post({Command::Kind::kAdd, id, {}, std::move(relay)});
  return id;
}

void RelayEngine::Drain(Id id, const DrainOptions& options) { Post({Command::Kind::kDrain, id, options, nullptr}); }

void RelayEngine::Cancel(Id id) { Post({Command::Kind::kCancel, id, {}, nullptr}); }

void RelayEngine::Post(Command command) {
  std::lock_guard<std::mutex> lock(mutex_);
  commands_.push_back(std::move(command));
  if (commands_.size() > 1) return;  // woken already
  uint64_t one = 1;
  // It cannot fail: the counter is far from its maximum.
  [[maybe_unused]] ssize_t written = write(wake_.Get(), &one, sizeof(one));
}

void RelayEngine::Run() {
  pthread_setname_np(pthread_self(), "hvsock-relay");
  std::array<epoll_event, 64> events;
  for (;;) {
    int count = epoll_wait(epoll_.Get(), events.data(), static_cast<int>(events.size()), Timeout());
    bool has_commands = false;
    for (int i = 0; i < count; i++) {
      uintptr_t tagged = events[static_cast<size_t>(i)].data.u64;
      if (tagged == 0) {
        has_commands = true;
        continue;
      }
      auto* relay = reinterpret_cast<Relay*>(tagged & ~kSinkBit);
      if (relay->IsClosed()) continue;
      auto side = (tagged & kSinkBit) != 0 ? Relay::Side::kSink : Relay::Side::kSource;
      if (relay->OnEvents(side, events[static_cast<size_t>(i)].events)) Enqueue(relay);
      Settle(relay);
    }
    if (has_commands) RunCommands();
    RunDeadlines();
    RunTurns();
    closed_.clear();
  }
}

int RelayEngine::Timeout() const {
  if (!ready_.empty()) return 0;
  if (deadlines_.empty()) return -1;
  auto left = std::chrono::ceil<std::chrono::milliseconds>(deadlines_.begin()->first - Clock::now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
}

void RelayEngine::RunCommands() {
  uint64_t count;
  [[maybe_unused]] ssize_t got = read(wake_.Get(), &count, sizeof(count));
  std::vector<Command> commands;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    commands.swap(commands_);
  }
  for (Command& command : commands) {
    if (command.kind == Command::Kind::kAdd) {
      Relay* relay = command.relay.get();
      ids_[relay] = command.id;
      relays_[command.id] = std::move(command.relay);
      relay->Start(this);
      if (!relay->IsClosed()) Enqueue(relay);
      Settle(relay);
      continue;
    }
    auto found = relays_.find(command.id);
    if (found == relays_.end()) continue;
    Relay* relay = found->second.get();
    if (command.kind == Command::Kind::kDrain) {
      relay->Drain(command.drain);
    } else {
      relay->Cancel();
    }
    Settle(relay);
  }
}

void RelayEngine::RunDeadlines() {
  if (deadlines_.empty()) return;
  Clock::time_point now = Clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Relay* relay = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    relay->scheduled.reset();
    relay->OnDeadline(now);
    if (!relay->IsClosed()) Enqueue(relay);
    Settle(relay);
  }
}

void RelayEngine::RunTurns() {
  // One turn for each that is ready now; events are looked at between rounds.
  for (size_t left = ready_.size(); left > 0; left--) {
    Relay* relay = ready_.front();
    ready_.pop_front();
    relay->is_queued = false;
    if (relay->IsClosed()) continue;
    if (relay->Run() == Relay::Turn::kAgain) Enqueue(relay);
    Settle(relay);
  }
}

void RelayEngine::Enqueue(Relay* relay) {
  if (relay->is_queued) return;
  relay->is_queued = true;
  ready_.push_back(relay);
}

void RelayEngine::Settle(Relay* relay) {
  std::optional<Clock::time_point> wanted = relay->IsClosed() ? std::nullopt : relay->Deadline();
  if (relay->scheduled != wanted) {
    if (relay->scheduled) deadlines_.erase({*relay->scheduled, relay});
    if (wanted) deadlines_.insert({*wanted, relay});
    relay->scheduled = wanted;
  }
  if (!relay->IsClosed()) return;
  auto found = ids_.find(relay);
  if (found == ids_.end()) return;
  if (relay->is_queued) ready_.erase(std::find(ready_.begin(), ready_.end(), relay));
  auto owned = relays_.find(found->second);
  closed_.push_back(std::move(owned->second));
  relays_.erase(owned);
  ids_.erase(found);
}

}  // namespace hvsock
