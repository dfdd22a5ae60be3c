// vsockexec -r: the program writes into pipes, which never break; this process carries them to the host.
#include "line-buffer.h"
#include "relay.h"
#include "vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    DIAL_MS = 2000,  // for one attempt
    BACK_OFF_LEAST_MS = 100,
    BACK_OFF_MOST_MS = 5000,
    STALL_MS = 1000,   // so long a host that is away or does not read holds the program back; then lines are dropped
    DRAIN_MS = 500,    // after the program's end, for a pipe that its background children keep open
    FLUSH_MS = 2000,   // after the program's end, for a host that does not read
    LINGER_MS = 1000,  // after the last byte, until the host closes: what is under way goes with the machine
};

struct stream {
    unsigned port;
    int pipe;  // read end; -1 at end of file
    int host;  // -1 without a connection
    bool dialling;
    long long due;  // ms: next attempt, or end of this one
    int back_off;
    long long progress;  // ms: when the host last took a byte
    struct line_buffer buffer;
};

static struct stream streams[2];
static int stream_count;
static volatile sig_atomic_t child;

static void pass_signal(int number) {
    if (child > 0) kill(child, number);
}

static void lose_host(struct stream *stream, long long now) {
    if (stream->host >= 0) close(stream->host);
    stream->host = -1;
    stream->dialling = false;
    stream->due = now + stream->back_off;
    stream->back_off = stream->back_off * 2 < BACK_OFF_MOST_MS ? stream->back_off * 2 : BACK_OFF_MOST_MS;
    line_buffer_rewind(&stream->buffer);
}

static void dial(struct stream *stream, long long now) {
    stream->host = start_dial(stream->port);
    if (stream->host < 0) {
        lose_host(stream, now);
        return;
    }
    stream->dialling = true;
    stream->due = now + DIAL_MS;
}

static void write_to_host(struct stream *stream, long long now) {
    size_t length;
    line_buffer_tell_dropped(&stream->buffer);
    for (const char *data; (data = line_buffer_pending(&stream->buffer, &length));) {
        ssize_t written = send(stream->host, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (written > 0) {
            line_buffer_sent(&stream->buffer, (size_t)written);
            stream->progress = now;
            stream->back_off = BACK_OFF_LEAST_MS;
        } else if (written < 0 && errno == EAGAIN) {
            return;
        } else if (written < 0 && errno != EINTR) {
            lose_host(stream, now);
            return;
        }
    }
    stream->progress = now;  // nothing is owed
}

static void read_pipe(struct stream *stream) {
    char data[64 * 1024];
    ssize_t count = read(stream->pipe, data, sizeof data);
    if (count > 0) {
        line_buffer_append(&stream->buffer, data, (size_t)count);
    } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
        close(stream->pipe);
        stream->pipe = -1;
    }
}

static bool wants_to_read(const struct stream *stream, long long now) {
    if (stream->pipe < 0) return false;
    return line_buffer_has_room(&stream->buffer) || now - stream->progress >= STALL_MS;
}

static void earlier(int *timeout, long long due, long long now) {
    int left = due > now ? (int)(due - now) : 0;
    if (*timeout < 0 || left < *timeout) *timeout = left;
}

// One turn: waits for something to happen, at most until `limit` (ms, monotonic; < 0: none), and handles it.
// Returns true when `ended`, the program's pidfd (or -1), tells of the program's end.
static bool turn(int ended, long long limit) {
    struct pollfd polls[1 + 2 * 2];
    long long now = monotonic_ms();
    int timeout = -1;
    if (limit >= 0) earlier(&timeout, limit, now);
    polls[0] = (struct pollfd){.fd = ended, .events = POLLIN};
    for (int i = 0; i < stream_count; i++) {
        struct stream *stream = &streams[i];
        size_t owed;
        line_buffer_pending(&stream->buffer, &owed);
        if (stream->host < 0 && now >= stream->due) dial(stream, now);
        if (stream->host < 0 || stream->dialling) earlier(&timeout, stream->due, now);
        bool reads = wants_to_read(stream, now);
        if (!reads && stream->pipe >= 0) earlier(&timeout, stream->progress + STALL_MS, now);
        polls[1 + 2 * i] = (struct pollfd){.fd = reads ? stream->pipe : -1, .events = POLLIN};
        polls[2 + 2 * i] = (struct pollfd){.fd = stream->host, .events = stream->dialling || owed > 0 ? POLLOUT : 0};
    }
    if (poll(polls, (nfds_t)(1 + 2 * stream_count), timeout) < 0) return false;
    now = monotonic_ms();
    for (int i = 0; i < stream_count; i++) {
        struct stream *stream = &streams[i];
        short host = polls[2 + 2 * i].revents;
        if (stream->dialling && host) {
            stream->dialling = false;
            if (finish_dial(stream->host) < 0) lose_host(stream, now);
        } else if (stream->dialling && now >= stream->due) {
            lose_host(stream, now);
        } else if (stream->host >= 0 && !stream->dialling && (host & (POLLERR | POLLHUP))) {
            lose_host(stream, now);
        }
        if (polls[1 + 2 * i].revents) read_pipe(stream);
        if (stream->host >= 0 && !stream->dialling) write_to_host(stream, now);
    }
    return polls[0].revents != 0;
}

static bool pipes_open(void) { return streams[0].pipe >= 0 || (stream_count > 1 && streams[1].pipe >= 0); }

static size_t bytes_owed(void) {
    size_t total = 0;
    for (int i = 0; i < stream_count; i++) {
        size_t owed;
        line_buffer_pending(&streams[i].buffer, &owed);
        total += owed + (streams[i].buffer.dropped > 0);
    }
    return total;
}

// What the kernel has taken the host may not have, and the machine may go off when this process ends: the host's
// close tells that it has read all.
static void linger(void) {
    long long until = monotonic_ms() + LINGER_MS;
    struct pollfd hosts[2];
    int open = 0;
    for (int i = 0; i < stream_count; i++) {
        bool connected = streams[i].host >= 0 && !streams[i].dialling;
        hosts[i] = (struct pollfd){.fd = connected ? streams[i].host : -1, .events = POLLIN};
        if (connected && shutdown(streams[i].host, SHUT_WR) == 0) open++;
    }
    for (long long left; open > 0 && (left = until - monotonic_ms()) > 0;) {
        if (poll(hosts, (nfds_t)stream_count, (int)left) <= 0) continue;
        for (int i = 0; i < stream_count; i++) {
            char data[4096];
            if (!hosts[i].revents) continue;
            ssize_t count = recv(hosts[i].fd, data, sizeof data, MSG_DONTWAIT);
            if (count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN))) continue;
            hosts[i].fd = -1;
            open--;
        }
    }
}

static void finish(void) {
    for (long long until = monotonic_ms() + DRAIN_MS; pipes_open() && monotonic_ms() < until;) turn(-1, until);
    for (long long until = monotonic_ms() + FLUSH_MS; bytes_owed() > 0 && monotonic_ms() < until;) turn(-1, until);
    linger();
}

// Opens a pipe for `port`, or finds the one that it has; returns the write end.
static int open_stream(unsigned port, int write_ends[2]) {
    for (int i = 0; i < stream_count; i++)
        if (streams[i].port == port) return write_ends[i];
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    struct stream *stream = &streams[stream_count];
    stream->port = port;
    stream->pipe = ends[0];
    stream->host = -1;
    stream->back_off = BACK_OFF_LEAST_MS;
    stream->progress = monotonic_ms();
    write_ends[stream_count++] = ends[1];
    return ends[1];
}

static int run_program(int input, int output, int errors, char **command) {
    if (input >= 0) dup2(input, STDIN_FILENO);
    if (output >= 0) dup2(output, STDOUT_FILENO);
    if (errors >= 0) dup2(errors, STDERR_FILENO);
    execvp(command[0], command);
    int error = errno;
    dprintf(STDERR_FILENO, "vsockexec: %s: %s\n", command[0], strerror(error));
    return error == ENOENT ? 127 : 126;
}

int run_relay(const unsigned ports[3], char **command) {
    if (ports[1] == 0 && ports[2] == 0) {
        fputs("vsockexec: -r needs -o or -e\n", stderr);
        return 1;
    }
    for (int fd = 0; fd <= 2; fd++)  // pipes must not land on 0 to 2
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) return 1;
    int write_ends[2], output = -1, errors = -1, input = -1;
    if ((ports[1] && (output = open_stream(ports[1], write_ends)) < 0) ||
        (ports[2] && (errors = open_stream(ports[2], write_ends)) < 0)) {
        fprintf(stderr, "vsockexec: pipe: %s\n", strerror(errno));
        return 1;
    }
    // Input cannot be taken up again where it broke off: one attempt, and end of file without a host.
    if (ports[0]) {
        input = dial_host(ports[0], DIAL_MS);
        if (input < 0) input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }

    signal(SIGPIPE, SIG_IGN);
    pid_t pid = fork();
    if (pid < 0) {
        fprintf(stderr, "vsockexec: fork: %s\n", strerror(errno));
        return 1;
    }
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        _exit(run_program(input, output, errors, command));
    }
    child = pid;
    for (int i = 0; i < stream_count; i++) close(write_ends[i]);
    if (input >= 0) close(input);
    static const int passed[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        sigaction(passed[i], &(struct sigaction){.sa_handler = pass_signal}, NULL);

    int ended = pidfd_open(pid, 0);
    if (ended < 0) {
        fprintf(stderr, "vsockexec: pidfd_open: %s\n", strerror(errno));
        return 1;
    }
    while (!turn(ended, -1)) continue;
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    child = 0;
    finish();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
