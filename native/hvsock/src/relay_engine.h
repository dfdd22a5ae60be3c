#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "relay.h"
#include "unique_fd.h"

namespace hvsock {

// One thread with one epoll instance for all relays of the process, however many they are. It starts with the
// first relay and lives as long as the process.
class RelayEngine {
 public:
  using Id = uint64_t;

  static RelayEngine& Get();

  // From any thread. Unknown ids (a relay that has closed) are ignored.
  Id Add(std::unique_ptr<Relay> relay);
  void Drain(Id id, const DrainOptions& options);
  void Cancel(Id id);

  // For relays, on the engine's thread.
  int Epoll() const { return epoll_.Get(); }
  int NullFd() const { return null_.Get(); }
  uint8_t* Buffer() { return buffer_.data(); }
  static constexpr size_t kBufferSize = 128 * 1024;

 private:
  struct Command {
    enum class Kind { kAdd, kDrain, kCancel };
    Kind kind;
    Id id;
    DrainOptions drain;
    std::unique_ptr<Relay> relay;
  };

  RelayEngine();
  void Post(Command command);
  [[noreturn]] void Run();
  int Timeout() const;
  void RunCommands();
  void RunDeadlines();
  void RunTurns();
  void Enqueue(Relay* relay);
  // After anything that may have moved its deadline or closed it.
  void Settle(Relay* relay);

  UniqueFd epoll_;
  UniqueFd wake_;
  UniqueFd null_;
  std::vector<uint8_t> buffer_;

  std::unordered_map<Id, std::unique_ptr<Relay>> relays_;
  std::unordered_map<Relay*, Id> ids_;
  std::deque<Relay*> ready_;
  std::set<std::pair<Clock::time_point, Relay*>> deadlines_;
  // Closed in this round: events of the same round may still point at them.
  std::vector<std::unique_ptr<Relay>> closed_;

  std::mutex mutex_;
  std::vector<Command> commands_;
  Id last_id_ = 0;
};

}  // namespace hvsock
