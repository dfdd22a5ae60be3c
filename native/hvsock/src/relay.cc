#include "relay.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include <algorithm>

#include "descriptors.h"
#include "relay_engine.h"
#include "system_call_error.h"

namespace hvsock {
namespace {

// Bytes one relay may move before the others get their turn.
constexpr size_t kTurnBytes = 1024 * 1024;
// More than a socket's buffers hold.
constexpr size_t kMostDiscarded = 4 * 1024 * 1024;
// The kernel does not always wake a pseudo-terminal's writer when its reader has made room, so a blocked one
// is looked at again after this while.
constexpr auto kTerminalRecheck = std::chrono::milliseconds(20);

// A multiple of the usual size (208 KiB) divides how often the writer and the reader of a Unix socket wake each other.
// The kernel doubles the number for its bookkeeping. A refusal costs only speed; vsock ignores it.
constexpr int kSendBufferBytes = 512 * 1024;

void GrowSendBuffer(int socket) {
  int size = kSendBufferBytes;
  if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) == 0) return;
  // Not privileged: as far as net.core.wmem_max allows.
  setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

short PollNow(int fd, short events) {
  pollfd entry{fd, events, 0};
  return poll(&entry, 1, 0) > 0 ? entry.revents : static_cast<short>(0);
}

}  // namespace

Relay::Relay(UniqueFd source, UniqueFd sink, const RelayOptions& options, std::shared_ptr<RelayStatus> status,
             std::function<void(RelayEvent)> listener)
    : options_(options), status_(std::move(status)), listener_(std::move(listener)) {
  source_.kind = Classify(source);
  sink_.kind = Classify(sink);
  source_.fd = std::move(source);
  sink_.fd = std::move(sink);
  for (const End* end : {&source_, &sink_}) {
    if (end->kind != Kind::kDiscard) SetNonBlocking(end->fd.Get(), true);
  }
  if (sink_.kind == Kind::kSocket) GrowSendBuffer(sink_.fd.Get());
  may_splice_ = source_.kind == Kind::kPipe || sink_.kind == Kind::kPipe;
  RelayDeadlines one{{Clock::time_point(), this}};
  unscheduled = one.extract(one.begin());
}

Relay::~Relay() = default;

Relay::Kind Relay::Classify(const UniqueFd& fd) {
  if (!fd.IsOpen()) return Kind::kDiscard;
  struct stat status;
  if (fstat(fd.Get(), &status) == -1) ThrowErrno("fstat");
  if (S_ISFIFO(status.st_mode)) return Kind::kPipe;
  if (S_ISSOCK(status.st_mode)) {
    int type = 0;
    socklen_t length = sizeof(type);
    if (getsockopt(fd.Get(), SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM) return Kind::kSocket;
  }
  termios settings;
  if (S_ISCHR(status.st_mode) && tcgetattr(fd.Get(), &settings) == 0) return Kind::kTerminal;
  throw SystemCallError("relay", EINVAL);
}

void Relay::Start(RelayEngine* engine) {
  engine_ = engine;
  last_activity_ = Clock::now();
  Register(&source_, Side::kSource, EPOLLET);
  // Errors and hang-ups are always reported: a sink whose peer goes away is noticed while the source is idle.
  if (phase_ == Phase::kFlowing) Register(&sink_, Side::kSink, EPOLLET | EPOLLRDHUP);
}

void Relay::Register(End* end, Side side, uint32_t events) {
  if (!end->fd.IsOpen()) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = reinterpret_cast<uintptr_t>(this) | (side == Side::kSink ? 1 : 0);
  if (epoll_ctl(engine_->Epoll(), EPOLL_CTL_ADD, end->fd.Get(), &event) == 0) {
    end->is_registered = true;
    end->armed = events;
  } else {
    Finish(side == Side::kSource ? EndReason::kSourceError : EndReason::kSinkError, errno);
  }
}

void Relay::Arm(End* end, Side side, uint32_t events) {
  if (!end->is_registered || end->armed == events) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = reinterpret_cast<uintptr_t>(this) | (side == Side::kSink ? 1 : 0);
  // It cannot fail for a descriptor that is registered.
  epoll_ctl(engine_->Epoll(), EPOLL_CTL_MOD, end->fd.Get(), &event);
  end->armed = events;
}

void Relay::CloseEnd(End* end) {
  // Closing alone does not unregister while a duplicate of the descriptor lives.
  if (end->is_registered) epoll_ctl(engine_->Epoll(), EPOLL_CTL_DEL, end->fd.Get(), nullptr);
  end->is_registered = false;
  if (!end->fd.IsOpen()) return;
  // A pipe's last descriptor waits for the pipe's lock, a terminal's for those that write to it.
  engine_->Outside([fd = end->fd.Release()] { return close(fd); });
}

void Relay::Detach() {
  for (End* end : {&source_, &sink_}) {
    end->is_detached = end->is_registered;
    if (end->is_registered) epoll_ctl(engine_->Epoll(), EPOLL_CTL_DEL, end->fd.Get(), nullptr);
    end->is_registered = false;
  }
}

void Relay::Attach(RelayEngine* engine) {
  engine_ = engine;
  for (End* end : {&source_, &sink_}) {
    if (!end->is_detached) continue;
    end->is_detached = false;
    epoll_event event{};
    event.events = end->armed;
    event.data.u64 = reinterpret_cast<uintptr_t>(this) | (end == &sink_ ? 1 : 0);
    if (epoll_ctl(engine_->Epoll(), EPOLL_CTL_ADD, end->fd.Get(), &event) == 0) {
      end->is_registered = true;
    } else {
      lost_watch_ = errno;
    }
  }
}

void Relay::WaitForSource() {
  wait_ = Wait::kSource;
  // Level-triggered: a turn need not read until nothing is left.
  Arm(&source_, Side::kSource, EPOLLIN);
}

void Relay::WaitForSink() {
  wait_ = Wait::kSink;
  // Edge-triggered with no event wanted, or a hang-up would be reported in an endless loop.
  Arm(&source_, Side::kSource, EPOLLET);
  // Changing the events also reports what is true already, so nothing is missed in between.
  sink_.armed &= ~static_cast<uint32_t>(EPOLLOUT);
  Arm(&sink_, Side::kSink, EPOLLET | EPOLLRDHUP | EPOLLOUT);
  if (sink_.kind == Kind::kTerminal) SetDeadline(Clock::now() + kTerminalRecheck);
}

void Relay::WaitForWhateverBlocks() {
  // splice() does not tell which side had to wait.
  pollfd ends[2] = {{source_.fd.Get(), POLLIN, 0}, {sink_.fd.Get(), POLLOUT, 0}};
  poll(ends, 2, 0);
  if (sink_.kind == Kind::kDiscard) ends[1].revents = POLLOUT;
  if (ends[0].revents == 0) {
    blocked_for_no_reason_ = 0;
    WaitForSource();
  } else if (ends[1].revents == 0) {
    blocked_for_no_reason_ = 0;
    WaitForSink();
  } else if (++blocked_for_no_reason_ > 2) {
    may_splice_ = false;  // both claim to be ready: read() and write() will tell
  }
}

bool Relay::OnEvents(Side side, uint32_t events) {
  if (phase_ == Phase::kLingering) {
    // Of a source that was shut down here EPOLLRDHUP would tell only that.
    uint32_t gone = EPOLLHUP | EPOLLERR;
    if (side == Side::kSink) gone |= EPOLLRDHUP;
    if ((events & gone) != 0) Close();
    return false;
  }
  if (side == Side::kSource) return wait_ == Wait::kSource;
  int error = 0;
  if (SinkPeerIsGone(events, &error)) {
    SinkFailed(error);
    return phase_ == Phase::kFlowing;
  }
  if ((events & EPOLLOUT) == 0) return false;
  if (wait_ == Wait::kSink) return true;
  Arm(&sink_, Side::kSink, EPOLLET | EPOLLRDHUP);
  return false;
}

bool Relay::SinkPeerIsGone(uint32_t events, int* error) const {
  *error = EPIPE;
  if (sink_.kind == Kind::kPipe) return (events & EPOLLERR) != 0;
  // A terminal may be opened again; a write tells if it is gone for good.
  if (sink_.kind != Kind::kSocket) return false;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    socklen_t length = sizeof(*error);
    getsockopt(sink_.fd.Get(), SOL_SOCKET, SO_ERROR, error, &length);
    if (*error == 0) *error = EPIPE;
    return true;
  }
  if ((events & EPOLLRDHUP) == 0) return false;
  // The peer writes no more. Whether it still reads, vsock tells only to one who sends.
  if (send(sink_.fd.Get(), "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) == -1 && errno != EAGAIN && errno != EINTR) {
    *error = errno;
    return true;
  }
  return false;
}

Relay::Turn Relay::Run() {
  if (phase_ != Phase::kFlowing) return Turn::kWaiting;
  uint64_t stop = status_->bytes.load(std::memory_order_relaxed) + kTurnBytes;
  wait_ = Wait::kNothing;
  while (wait_ == Wait::kNothing && phase_ == Phase::kFlowing) {
    if (!FlushPending()) continue;
    if (source_ended_) {
      Finish(end_reason_, end_error_);
      break;
    }
    Moved moved = may_splice_ ? Splice() : Copy();
    if (moved == Moved::kSome && pending_.empty()) WaitForSource();
    if (status_->bytes.load(std::memory_order_relaxed) >= stop) {
      if (wait_ == Wait::kNothing) return Turn::kAgain;
    }
  }
  return Turn::kWaiting;
}

void Relay::Drain(const DrainOptions& options) {
  if (phase_ != Phase::kFlowing) return;
  drain_ = options;
  // A deadline lies in the future, or the engine would meet it again and again in one round.
  drain_->idle = std::max(options.idle, std::chrono::milliseconds(1));
  last_activity_ = Clock::now();
  int waiting = 0;
  // A source that cannot tell has no backlog to wait for; the idle time covers it.
  if (engine_->Outside([&] { return ioctl(source_.fd.Get(), FIONREAD, &waiting); }) == -1) waiting = 0;
  drain_backlog_end_ = status_->bytes.load(std::memory_order_relaxed) + static_cast<uint64_t>(waiting) +
                       (pending_.size() - pending_offset_);
  SetDeadline(last_activity_ + drain_->idle);
}

bool Relay::IsDrained(Clock::time_point now) {
  if (!pending_.empty()) return false;
  if (!backlog_gone_ && status_->bytes.load(std::memory_order_relaxed) >= drain_backlog_end_) backlog_gone_ = now;
  // While the sink is what holds everything up, time does not count.
  if (backlog_gone_ && now - *backlog_gone_ >= drain_->limit && wait_ != Wait::kSink) return true;
  return now - last_activity_ >= drain_->idle && PollNow(source_.fd.Get(), POLLIN) == 0;
}

void Relay::OnDeadline(Clock::time_point now) {
  deadline_.reset();
  if (phase_ == Phase::kLingering) {
    Close();
    return;
  }
  if (wait_ == Wait::kSink && sink_.kind == Kind::kTerminal) SetDeadline(now + kTerminalRecheck);
  if (!drain_ || source_ended_) return;
  if (IsDrained(now)) {
    SourceEnded(EndReason::kDrained, 0);
    return;
  }
  // Bytes that the sink does not take yet are waited for without limit: nothing is dropped.
  Clock::time_point silent = last_activity_ + drain_->idle;
  Clock::time_point next = silent > now ? silent : now + drain_->idle;
  if (!deadline_ || next < *deadline_) SetDeadline(next);
}

void Relay::Cancel() {
  if (phase_ == Phase::kClosed) return;
  if (phase_ == Phase::kFlowing) {
    phase_ = Phase::kLingering;
    TellEnd(EndReason::kCancelled, 0);
  }
  Close();
}

void Relay::Fail(int error) {
  lost_watch_ = 0;
  if (phase_ == Phase::kClosed) return;
  std::vector<uint8_t>().swap(pending_);
  if (phase_ == Phase::kFlowing) {
    phase_ = Phase::kLingering;
    TellEnd(EndReason::kSourceError, error);
  }
  Close();
}

void Relay::TellEnd(EndReason reason, int error) {
  if (has_told_end_) return;
  has_told_end_ = true;
  listener_({RelayEvent::Kind::kEnd, reason, error});
}

void Relay::SourceEnded(EndReason reason, int error) {
  source_ended_ = true;
  end_reason_ = reason;
  end_error_ = error;
}

void Relay::SinkFailed(int error) {
  pending_.clear();
  pending_offset_ = 0;
  if (!options_.discard_after_sink_error) {
    Finish(EndReason::kSinkError, error);
    return;
  }
  CloseEnd(&sink_);
  sink_.kind = Kind::kDiscard;
  may_splice_ = source_.kind == Kind::kPipe;
  sink_error_ = error;
  wait_ = Wait::kNothing;
}

void Relay::Finish(EndReason reason, int error) {
  if (sink_error_ != 0) {
    reason = EndReason::kSinkError;
    error = sink_error_;
  }
  phase_ = Phase::kLingering;
  deadline_.reset();
  End* lingering = nullptr;
  if (reason == EndReason::kSinkError) {
    if (options_.shutdown_source && source_.kind == Kind::kSocket) {
      shutdown(source_.fd.Get(), SHUT_RD);
      DiscardSource();
      lingering = &source_;
    }
  } else if (options_.shutdown_sink && sink_.kind == Kind::kSocket) {
    shutdown(sink_.fd.Get(), SHUT_WR);
    lingering = &sink_;
  }
  // A pipe that is the sink ends by being closed, so that comes before the news; the source's close tells nobody.
  if (lingering != &sink_) CloseEnd(&sink_);
  TellEnd(reason, error);
  if (lingering != &source_) CloseEnd(&source_);
  if (lingering == nullptr || options_.linger.count() <= 0) {
    Close();
  } else {
    Linger(lingering, lingering == &source_ ? Side::kSource : Side::kSink);
  }
}

// What came before the peer was told, and nobody wants: left there, a peer that waits for room would wait on, and our
// close would be a reset.
void Relay::DiscardSource() {
  char discarded[16 * 1024];
  for (size_t left = kMostDiscarded; left > 0; left -= sizeof(discarded)) {
    if (recv(source_.fd.Get(), discarded, sizeof(discarded), MSG_DONTWAIT) <= 0) return;
  }
}

void Relay::Linger(End* end, Side side) {
  SetDeadline(Clock::now() + options_.linger);
  end->armed = 0;
  Arm(end, side, side == Side::kSource ? EPOLLET : EPOLLET | EPOLLRDHUP);
  if (!end->is_registered) Close();
}

void Relay::Close() {
  CloseEnd(&source_);
  CloseEnd(&sink_);
  deadline_.reset();
  phase_ = Phase::kClosed;
  listener_({RelayEvent::Kind::kClosed});
}

}  // namespace hvsock
