#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "unique_fd.h"

namespace hvsock {

using Clock = std::chrono::steady_clock;

enum class EndReason { kEof = 0, kCancelled = 1, kSourceError = 2, kSinkError = 3, kDrained = 4 };

struct RelayOptions {
  // Once everything is handed over: shutdown(SHUT_WR) on a socket that is the sink.
  bool shutdown_sink = false;
  // When the sink fails: shutdown(SHUT_RD) on a socket that is the source, so that its peer hears of it.
  bool shutdown_source = false;
  // When the sink fails: go on reading the source into nothing, so that its writer neither blocks nor dies.
  bool discard_after_sink_error = false;
  // After the end, how long to wait for the peer of the socket to close before we do. 0: not at all.
  std::chrono::milliseconds linger{0};
};

// How to end once the process behind the source has exited, though another may hold the source open.
struct DrainOptions {
  // End when the source has been silent for so long.
  std::chrono::milliseconds idle{0};
  // End, whatever it still says, so long after all that was in it at the time of the exit is handed over.
  std::chrono::milliseconds limit{0};
};

struct RelayEvent {
  enum class Kind { kEnd = 0, kClosed = 1 };
  Kind kind;
  EndReason reason = EndReason::kEof;
  int error = 0;
};

// What the owner and the engine's thread share.
struct RelayStatus {
  // Bytes the sink has taken (or that were discarded).
  std::atomic<uint64_t> bytes{0};
};

class RelayEngine;
struct RelayCommand;
class Relay;

using RelayDeadlines = std::set<std::pair<Clock::time_point, Relay*>>;

// One direction from a source to a sink. States: flowing -> (lingering ->) closed; kEnd is told when flowing
// ends, kClosed when the descriptors are closed. Belongs to whichever thread has the engine's lead.
class Relay {
 public:
  enum class Side { kSource, kSink };
  enum class Turn { kAgain, kWaiting };

  // Owns both descriptors and makes them non-blocking; a sink that is not open discards. Throws EINVAL for one that is
  // no pipe, stream socket or terminal: it could not be made so, or not be waited for.
  Relay(UniqueFd source, UniqueFd sink, const RelayOptions& options, std::shared_ptr<RelayStatus> status,
        std::function<void(RelayEvent)> listener);
  ~Relay();

  void Start(RelayEngine* engine);
  // Something happened to a descriptor. True: give it a turn.
  bool OnEvents(Side side, uint32_t events);
  // Moves a bounded number of bytes.
  Turn Run();
  void Drain(const DrainOptions& options);
  void Cancel();
  void OnDeadline(Clock::time_point now);
  // Ends as after an error of the source, at once.
  void Fail(int error);
  // Tells the owner of the end, if it was not told yet.
  void TellEnd(EndReason reason, int error);

  // Leaves the engine's epoll instance, and comes back to it or to another engine's, which tells what is true by then.
  void Detach();
  void Attach(RelayEngine* engine);
  // errno, when it could not come back.
  int LostWatch() const { return lost_watch_; }

  std::optional<Clock::time_point> Deadline() const { return deadline_; }
  bool IsClosed() const { return phase_ == Phase::kClosed; }

  // The engine's bookkeeping, with the memory that it takes.
  std::atomic<RelayEngine*> home{nullptr};
  std::list<std::shared_ptr<Relay>>::iterator place;
  bool has_left = false;
  bool is_queued = false;
  std::list<Relay*> unqueued{this};  // what is in the engine's queue while it is queued
  std::list<Relay*>::iterator turn;
  std::optional<Clock::time_point> scheduled;
  RelayDeadlines::node_type unscheduled;
  bool is_away = false;  // its thread is in a system call and has lost the lead
  Clock::time_point away_since;
  int times_away = 0;
  bool holds_up = false;  // is likely to be so again
  bool was_queued = false;
  std::list<RelayCommand> postponed;  // until it is back

 private:
  enum class Phase { kFlowing, kLingering, kClosed };
  enum class Kind { kPipe, kSocket, kTerminal, kDiscard };
  enum class Wait { kNothing, kSource, kSink };
  enum class Moved { kSome, kFull, kNothing };  // kFull: there is probably more

  struct End {
    UniqueFd fd;
    Kind kind = Kind::kDiscard;
    bool is_registered = false;
    bool is_detached = false;
    uint32_t armed = 0;
  };

  static Kind Classify(const UniqueFd& fd);
  void Register(End* end, Side side, uint32_t events);
  void Arm(End* end, Side side, uint32_t events);
  void CloseEnd(End* end);

  void WaitForSource();
  void WaitForSink();
  void WaitForWhateverBlocks();

  // relay_move.cc
  template <typename Call>
  auto Outside(Call call);
  Moved Splice();
  Moved Copy();
  bool FlushPending();
  ssize_t WriteSink(const uint8_t* data, size_t length);
  void CountMoved(size_t bytes);

  bool SinkPeerIsGone(uint32_t events, int* error) const;
  bool IsDrained(Clock::time_point now);
  void SourceEnded(EndReason reason, int error);
  void SinkFailed(int error);
  void Finish(EndReason reason, int error);
  void DiscardSource();
  void Linger(End* end, Side side);
  void Close();
  void SetDeadline(Clock::time_point when) { deadline_ = when; }

  RelayEngine* engine_ = nullptr;
  const RelayOptions options_;
  std::shared_ptr<RelayStatus> status_;
  std::function<void(RelayEvent)> listener_;

  Phase phase_ = Phase::kFlowing;
  Wait wait_ = Wait::kNothing;
  End source_;
  End sink_;
  bool may_splice_ = false;
  int blocked_for_no_reason_ = 0;
  // Read but not yet written: only what the sink did not take of one shared buffer.
  std::vector<uint8_t> pending_;
  size_t pending_offset_ = 0;
  bool source_ended_ = false;
  EndReason end_reason_ = EndReason::kEof;
  int end_error_ = 0;
  int sink_error_ = 0;  // the sink failed and the rest is discarded
  int lost_watch_ = 0;
  bool has_told_end_ = false;

  std::optional<DrainOptions> drain_;
  uint64_t drain_backlog_end_ = 0;  // value of the byte counter at which nothing from before the exit is left
  std::optional<Clock::time_point> backlog_gone_;
  Clock::time_point last_activity_;
  std::optional<Clock::time_point> deadline_;
};

}  // namespace hvsock
