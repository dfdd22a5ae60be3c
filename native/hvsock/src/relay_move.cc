#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "relay.h"
#include "relay_engine.h"
#include "system_call_error.h"

// How a relay moves bytes: within the kernel where one end is a pipe, else through the engine's one buffer.
namespace hvsock {
namespace {

// As much as a pipe of the largest size that an unprivileged process may have.
constexpr size_t kSpliceBytes = 1024 * 1024;

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

}  // namespace

template <typename Call>
auto Relay::Outside(Call call) {
  return engine_->Outside([&] { return RetryOnInterrupt(call); });
}

Relay::Moved Relay::Splice() {
  int sink = sink_.kind == Kind::kDiscard ? engine_->NullFd() : sink_.fd.Get();
  ssize_t moved = Outside([&] {
    return splice(source_.fd.Get(), nullptr, sink, nullptr, kSpliceBytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  });
  if (moved > 0) {
    blocked_for_no_reason_ = 0;
    CountMoved(static_cast<size_t>(moved));
    return static_cast<size_t>(moved) == kSpliceBytes ? Moved::kFull : Moved::kSome;
  }
  if (moved == 0) {
    SourceEnded(EndReason::kEof, 0);
  } else if (errno == EINVAL) {
    may_splice_ = false;  // one of the two does not know how; decided once for this relay
  } else if (WouldBlock(errno)) {
    WaitForWhateverBlocks();
  } else if (source_.kind == Kind::kPipe || errno == EPIPE) {
    SinkFailed(errno);  // reading a pipe cannot fail
  } else {
    SourceEnded(EndReason::kSourceError, errno);
  }
  return Moved::kNothing;
}

Relay::Moved Relay::Copy() {
  uint8_t* buffer = RelayEngine::Buffer();
  ssize_t got = Outside([&] { return read(source_.fd.Get(), buffer, RelayEngine::kBufferSize); });
  if (got == 0) {
    SourceEnded(EndReason::kEof, 0);
    return Moved::kNothing;
  }
  if (got < 0) {
    if (WouldBlock(errno)) {
      WaitForSource();
    } else if (errno == EIO && source_.kind == Kind::kTerminal) {
      SourceEnded(EndReason::kEof, 0);  // what the master of a pseudo-terminal says when the last slave closed
    } else {
      SourceEnded(EndReason::kSourceError, errno);
    }
    return Moved::kNothing;
  }
  auto length = static_cast<size_t>(got);
  ssize_t written = WriteSink(buffer, length);
  if (written < 0) return Moved::kNothing;
  if (static_cast<size_t>(written) < length) {
    pending_.assign(buffer + written, buffer + length);
    WaitForSink();
    return Moved::kNothing;
  }
  // A terminal hands out at most 4 KiB at a time, however much there is.
  bool probably_more = length == RelayEngine::kBufferSize || source_.kind == Kind::kTerminal;
  return probably_more ? Moved::kFull : Moved::kSome;
}

// True when nothing is pending any more.
bool Relay::FlushPending() {
  if (pending_.empty()) return true;
  size_t left = pending_.size() - pending_offset_;
  ssize_t written = WriteSink(pending_.data() + pending_offset_, left);
  if (written < 0) return false;
  if (static_cast<size_t>(written) < left) {
    pending_offset_ += static_cast<size_t>(written);
    WaitForSink();
    return false;
  }
  // Frees the memory too: an idle relay holds none.
  std::vector<uint8_t>().swap(pending_);
  pending_offset_ = 0;
  return true;
}

// Writes as much as the sink takes now. -1: it failed, and SinkFailed was told.
ssize_t Relay::WriteSink(const uint8_t* data, size_t length) {
  if (sink_.kind == Kind::kDiscard) {
    CountMoved(length);
    return static_cast<ssize_t>(length);
  }
  size_t done = 0;
  while (done < length) {
    ssize_t written = Outside([&] {
      return sink_.kind == Kind::kSocket ? send(sink_.fd.Get(), data + done, length - done, MSG_DONTWAIT | MSG_NOSIGNAL)
                                         : write(sink_.fd.Get(), data + done, length - done);
    });
    if (written < 0) {
      if (WouldBlock(errno)) break;
      int error = errno;
      CountMoved(done);
      SinkFailed(error);
      return -1;
    }
    if (written == 0) break;
    done += static_cast<size_t>(written);
  }
  CountMoved(done);
  return static_cast<ssize_t>(done);
}

void Relay::CountMoved(size_t bytes) {
  status_->bytes.fetch_add(bytes, std::memory_order_relaxed);
  if (drain_) last_activity_ = Clock::now();
}

}  // namespace hvsock
