#pragma once

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "lead_threads.h"
#include "main_loop.h"
#include "relay.h"
#include "unique_fd.h"

namespace hvsock {

struct RelayCommand {
  enum class Kind { kAdd, kMovedHere, kDrain, kCancel, kCall };
  Kind kind;
  std::list<std::shared_ptr<Relay>> relay;  // one, or none
  DrainOptions drain;
  std::function<void()> call;
  std::shared_ptr<MainLoop> loop;
  MainLoop::Message done;
};

// One loop with one epoll instance for all relays of the process, however many they are. It starts with the first relay
// and lives as long as the process.
//
// A pipe's or a terminal's other end is a stranger's, who can make any call on ours sleep: with the pipe's lock held he
// may wait for a page that never comes. Such a relay keeps its thread and nothing else (lead_threads.h), and one that
// does it again moves to a second engine, where it can hold up only others of its kind.
//
// Nothing here takes memory once a relay is made but the copying of bytes, whose lack ends the one relay.
class RelayEngine final : private LeadThreads::Loop {
 public:
  // For relays that have held up nobody. Throws SystemCallError.
  static RelayEngine& Get();

  // From any thread; a relay that has closed ignores them.
  static void Add(std::shared_ptr<Relay> relay);
  static void Drain(std::shared_ptr<Relay> relay, const DrainOptions& options);
  static void Cancel(std::shared_ptr<Relay> relay);
  // Makes a system call that may sleep, for somebody else, then posts `done`. The call may throw nothing.
  static void Call(std::function<void()> call, std::shared_ptr<MainLoop> loop, MainLoop::Message done);

  // For relays, by the thread that has the lead.
  int Epoll() const { return epoll_.Get(); }
  int NullFd() const { return null_.Get(); }
  // The thread's own: one that hangs may still write into its buffer. Throws bad_alloc.
  static uint8_t* Buffer();
  static constexpr size_t kBufferSize = 128 * 1024;
  // Makes a system call that may sleep.
  template <typename Call>
  auto Outside(Call call) noexcept {
    Relay* relay = acting_;
    uint64_t token = threads_.LetGo();
    auto result = call();
    int error = errno;
    if (!threads_.TakeBack(token)) ComeBack(relay);
    errno = error;
    return result;
  }

 private:
  static constexpr size_t kMostEvents = 64;

  explicit RelayEngine(bool is_second);
  static RelayEngine& Second();
  void Post(std::list<RelayCommand> command) noexcept;

  void Step() noexcept override;
  void Interrupt() noexcept override;
  void LeadTaken() noexcept override;
  void ComeBack(Relay* relay) noexcept;

  void Wait() noexcept;
  int Timeout() const;
  void RunEvent(const epoll_event& event) noexcept;
  void TakeCommands() noexcept;
  void RunCommand() noexcept;
  void RunRelayCommand(std::list<RelayCommand> command) noexcept;
  bool RunDeadline() noexcept;
  void RunTurn() noexcept;
  // What a relay does: it may fail for want of memory.
  template <typename Action>
  void Act(Relay* relay, Action action) noexcept;
  void Enqueue(Relay* relay) noexcept;
  void Dequeue(Relay* relay) noexcept;
  void Schedule(Relay* relay, std::optional<Clock::time_point> when) noexcept;
  // After anything that may have moved its deadline or closed it. The relay may be another engine's afterwards.
  void Settle(Relay* relay) noexcept;
  bool MoveAway(Relay* relay) noexcept;

  const bool is_second_;
  UniqueFd epoll_;
  UniqueFd wake_;
  UniqueFd null_;

  // All below belongs to who has the lead.
  std::array<epoll_event, kMostEvents> events_{};
  size_t next_event_ = 0;
  size_t event_count_ = 0;
  bool has_news_ = false;
  std::list<RelayCommand> running_;
  bool is_in_turns_ = false;
  size_t turns_left_ = 0;
  Clock::time_point now_;  // when the wait ended, while there are deadlines
  Relay* acting_ = nullptr;
  std::list<std::shared_ptr<Relay>> relays_;
  std::list<Relay*> ready_;
  RelayDeadlines deadlines_;
  // Closed in this round: events of the same round may still point at them.
  std::list<std::shared_ptr<Relay>> closed_;

  std::mutex mutex_;
  std::list<RelayCommand> commands_;

  LeadThreads threads_;
};

}  // namespace hvsock
