// Relays on their engine's thread, and what their owner and both peers do meanwhile, in any order: bytes arrive as they
// were sent, nothing is lost that had to arrive, each relay tells its end once and then that it is closed, and every
// descriptor is given back. Built with the address sanitizer, and again with the thread sanitizer.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "../hvsock/src/relay.h"
#include "../hvsock/src/relay_engine.h"
#include "input.h"

using hvsock::DrainOptions;
using hvsock::EndReason;
using hvsock::Relay;
using hvsock::RelayEngine;
using hvsock::RelayEvent;
using hvsock::RelayOptions;
using hvsock::RelayStatus;
using hvsock::UniqueFd;

namespace {

constexpr size_t kRelays = 3;
// Of the second engine, which begins with the first relay that held others up: on a busy machine any may seem to.
constexpr int kEngineDescriptors = 3;
constexpr auto kPatience = std::chrono::seconds(15);

uint8_t ByteAt(size_t at) { return static_cast<uint8_t>(at % 251); }

std::mutex mutex;
std::condition_variable changed;

// What both sides of one relay do and have seen.
struct Case {
    UniqueFd writer, reader;  // the peers' ends
    std::shared_ptr<Relay> relay;
    std::shared_ptr<RelayStatus> status = std::make_shared<RelayStatus>();
    size_t written = 0, read = 0;
    bool is_discarded = false;
    // Somebody has done what loses bytes: cancelled, closed the reader, drained.
    bool may_lose = false;
    // By the engine's thread, under the mutex.
    int ends = 0, closes = 0;
    EndReason reason = EndReason::kEof;
};

std::pair<UniqueFd, UniqueFd> MakePipe() {
    int ends[2];
    HOLD(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0, "pipe");
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::pair<UniqueFd, UniqueFd> MakeSockets() {
    int ends[2];
    HOLD(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "socketpair");
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void Begin(Case *one, input *input) {
    if (one->relay) return;
    uint8_t kinds = take8(input);
    RelayOptions options;
    uint8_t flags = take8(input);
    options.shutdown_sink = (flags & 1) != 0;
    options.shutdown_source = (flags & 2) != 0;
    options.discard_after_sink_error = (flags & 4) != 0;
    options.linger = std::chrono::milliseconds((flags & 8) != 0 ? 5 : 0);
    auto [source, writer] = kinds % 2 == 0 ? MakePipe() : MakeSockets();
    UniqueFd reader, sink;
    uint8_t sink_kind = kinds / 2 % 5;
    if (sink_kind < 2) {
        std::tie(reader, sink) = MakePipe();
    } else if (sink_kind < 4) {
        std::tie(reader, sink) = MakeSockets();
    } else {
        one->is_discarded = true;
    }
    one->writer = std::move(writer);
    one->reader = std::move(reader);
    auto listener = [one](RelayEvent event) {
        std::lock_guard<std::mutex> lock(mutex);
        if (event.kind == RelayEvent::Kind::kEnd) {
            one->ends++;
            one->reason = event.reason;
        } else {
            one->closes++;
        }
        HOLD(one->ends == 1 && one->closes <= 1, "%d ends and %d closes are told", one->ends, one->closes);
        changed.notify_all();
    };
    one->relay = std::make_shared<Relay>(std::move(source), std::move(sink), options, one->status, std::move(listener));
    RelayEngine::Add(one->relay);
}

void Write(Case *one, size_t size) {
    if (!one->writer.IsOpen()) return;
    static std::array<uint8_t, 256 * 1024> bytes;
    if (size > bytes.size()) size = bytes.size();
    for (size_t i = 0; i < size; i++) bytes[i] = ByteAt(one->written + i);
    ssize_t put = write(one->writer.Get(), bytes.data(), size);
    if (put > 0) one->written += static_cast<size_t>(put);
}

// False at the end.
bool Read(Case *one, size_t size) {
    if (!one->reader.IsOpen()) return false;
    static std::array<uint8_t, 256 * 1024> bytes;
    if (size > bytes.size()) size = bytes.size();
    if (size == 0) return true;
    ssize_t got = read(one->reader.Get(), bytes.data(), size);
    for (ssize_t i = 0; i < got; i++) {
        size_t at = one->read++;
        HOLD(at < one->written && bytes[static_cast<size_t>(i)] == ByteAt(at), "byte %zu is another one", at);
    }
    return got > 0 || (got == -1 && errno == EAGAIN);
}

void CloseReader(Case *one) {
    one->may_lose = true;
    one->reader.Reset();
}

void Act(Case *one, input *input) {
    uint8_t what = take8(input) % 16;
    size_t size = take16(input) * static_cast<size_t>(what % 2 == 0 ? 1 : 7);
    switch (what) {
        case 0:
        case 1:
        case 2:
        case 3:
            Write(one, size);
            break;
        case 4:
        case 5:
        case 6:
        case 7:
            Read(one, size);
            break;
        case 8:
            one->writer.Reset();
            break;
        case 9:
            if (size % 4 == 0) CloseReader(one);
            break;
        case 10:
            if (one->writer.IsOpen()) shutdown(one->writer.Get(), size % 2 == 0 ? SHUT_WR : SHUT_RDWR);
            break;
        case 11:
            if (one->reader.IsOpen()) shutdown(one->reader.Get(), SHUT_WR);
            break;
        case 12:
            one->may_lose = true;
            RelayEngine::Drain(one->relay,
                               DrainOptions{std::chrono::milliseconds(size % 3), std::chrono::milliseconds(size % 7)});
            break;
        case 13:
            one->may_lose = true;
            if (size % 4 == 0) RelayEngine::Cancel(one->relay);
            break;
        default:
            usleep(static_cast<useconds_t>(size % 300));
    }
}

// The source ends and the sink is read: then the relay ends by itself.
void Finish(Case *one) {
    if (!one->relay) return;
    one->writer.Reset();
    auto limit = std::chrono::steady_clock::now() + kPatience;
    auto is_closed = [&] {
        std::lock_guard<std::mutex> lock(mutex);
        return one->closes > 0;
    };
    while (Read(one, 64 * 1024)) {
        if (is_closed() && !Read(one, 64 * 1024)) break;
        pollfd wait{one->reader.Get(), POLLIN, 0};
        poll(&wait, 1, 1);
        HOLD(std::chrono::steady_clock::now() < limit, "it neither ends nor gives");
        if (is_closed()) {
            while (Read(one, 64 * 1024)) {
                pollfd more{one->reader.Get(), POLLIN, 0};
                if (poll(&more, 1, 0) <= 0) break;
            }
            break;
        }
    }
    one->reader.Reset();
    std::unique_lock<std::mutex> lock(mutex);
    HOLD(changed.wait_until(lock, limit, [&] { return one->closes > 0; }), "it is never closed");
    HOLD(one->ends == 1 && one->closes == 1, "%d ends and %d closes", one->ends, one->closes);
    if (!one->may_lose && one->reason == EndReason::kEof && !one->is_discarded)
        HOLD(one->read == one->written, "%zu bytes of %zu have arrived", one->read, one->written);
    if (!one->may_lose && one->is_discarded)
        HOLD(one->status->bytes == one->written, "%zu bytes are counted", one->written);
}

// Those that are close-on-exec, as all of ours are; the fuzzer's own are not.
int OpenDescriptors() {
    int count = 0;
    for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) == FD_CLOEXEC;
    return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int before = (signal(SIGPIPE, SIG_IGN), RelayEngine::Get(), OpenDescriptors());
    input input{data, size};
    {
        std::vector<Case> cases(kRelays);
        while (input.left > 0) {
            Case *one = &cases[take8(&input) % kRelays];
            if (!one->relay) {
                Begin(one, &input);
            } else {
                Act(one, &input);
            }
        }
        for (Case &one : cases) Finish(&one);
    }
    int left = OpenDescriptors() - before;
    HOLD(left == 0 || left == kEngineDescriptors, "%d descriptors are left open", left);
    return 0;
}
