/*
 * vsock-forwarder: carries the streams that the guest dials out of the VM, where the host has no vsock of its own.
 * Who wants port P of the host dials the Unix socket PREFIX_P, in a directory that no container sees: AF_VSOCK knows
 * no namespaces, and over its loopback a container could pose as the host. protocol.h tells what the host is told.
 *
 *   vsock-forwarder [--ready-fd FD] [--deadline SECONDS] [--name PORT-NAME | --channel PATH-OR-FD] [--listen PREFIX]
 *
 * --ready-fd   gets a byte once all ports that the host named up front are listened on, and is closed
 * --deadline   seconds until the host must have said READY; default 20. Then the exit code is 1.
 * --name       the virtio-serial port's name; default lcow.vsock
 * --channel    instead of a port: a device, a Unix socket to connect to, or a number, an inherited fd
 * --listen     default /run/vsock/host. Its directory is made, mode 0700, or must be like that.
 *
 * At SIGTERM the guest's machine ends: what the guest has sent is carried out, what those send who are ended at the
 * same moment too, and the host says that it has it all; then the exit code is 0. It is 1 after 2 s without that.
 * When the host closes the channel every stream is reset and the exit code is 0. When memory, descriptors or
 * watches are short one stream is refused, not more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "forwarder.h"
#include "channel.h"
#include "listeners.h"
#include "loop.h"
#include "report.h"
#include "streams.h"

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* @returns false when the host has closed the channel. */
static bool run_until_ready(struct forwarder *self, long seconds) {
    long long deadline = now_ms() + seconds * 1000LL;
    /* Until the answers are out, too: the parent's end must mean that a dial succeeds. */
    while (!self->ready || self->first_reply != NULL || self->out_end > 0) {
        long long left = deadline - now_ms();
        if (left <= 0) fail("the host did not say READY within %ld s", seconds);
        turn(self, (int)left);
        if (self->channel_ended || self->ending) return false;
    }
    return true;
}

enum {
    WRITERS_MS = 500, /* for programs that get SIGTERM, too, to send their last and close: /init kills them then */
    DELIVER_MS = 2000,
};

/* @returns the exit code. */
static int deliver(struct forwarder *self) {
    long long start = now_ms();
    while (!self->bye_answered && !self->channel_ended && self->hello_received) {
        long long passed = now_ms() - start;
        bool late = passed >= WRITERS_MS;
        if (passed >= DELIVER_MS) fail("the host did not take all that the guest sent within %d ms", DELIVER_MS);
        if (!self->bye_sent && !self->bye_owed && !dials_wait(self) && all_is_put(self, late)) self->bye_owed = true;
        turn(self, self->bye_owed ? 0 : (int)((late ? DELIVER_MS : WRITERS_MS) - passed));
    }
    return EXIT_SUCCESS;
}

static void tell_readiness(int fd) {
    if (fd < 0) return;
    if (write(fd, "", 1) != 1) say("cannot tell that the ports are there: %s", strerror(errno));
    close(fd);
}

/* Everything in the VM hangs on it, as on the agent: not to be chosen when memory runs out. */
static void evade_oom_killer(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (write(fd, "-1000", 5) != 5) say("cannot lower the own OOM score: %s", strerror(errno));
    close(fd);
}

/* One fd for each stream, and a few. */
static void allow_fds(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    rlim_t wanted = MAX_STREAMS + 256;
    if (limit.rlim_cur >= wanted) return;
    struct rlimit raised = {.rlim_cur = wanted, .rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
    raised.rlim_cur = raised.rlim_max = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) < 0) say("cannot raise the limit of open files: %s", strerror(errno));
}

int main(int count, char **arguments) {
    static struct forwarder self;
    static const struct option options[] = {
        {"ready-fd", required_argument, NULL, 'r'}, {"deadline", required_argument, NULL, 's'},
        {"name", required_argument, NULL, 'n'},     {"channel", required_argument, NULL, 'c'},
        {"listen", required_argument, NULL, 'l'},   {0},
    };
    const char *name = "lcow.vsock", *channel = NULL;
    long seconds = 20, ready_fd = -1;
    self.prefix = "/run/vsock/host";
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        switch (option) {
            case 'r':
                ready_fd = strtol(optarg, NULL, 10);
                break;
            case 's':
                seconds = strtol(optarg, NULL, 10);
                break;
            case 'n':
                name = optarg;
                break;
            case 'c':
                channel = optarg;
                break;
            case 'l':
                self.prefix = optarg;
                break;
            default:
                return 2;
        }
    }
    if (optind != count || seconds <= 0 || seconds > 3600)
        fail(
            "usage: vsock-forwarder [--ready-fd FD] [--deadline SECONDS] [--name NAME | --channel PATH-OR-FD] "
            "[--listen PREFIX]");

    signal(SIGPIPE, SIG_IGN);
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    self.signals = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
    if (self.signals < 0) fail("cannot make a signalfd: %s", strerror(errno));
    allow_fds();
    make_directory(self.prefix);
    self.channel = channel != NULL ? open_channel(channel) : open_named_port(name);
    self.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fstat(self.channel, &status) < 0) fail("cannot look at the channel: %s", strerror(errno));
    self.channel_is_port = S_ISCHR(status.st_mode);
    if (self.channel_is_port) evade_oom_killer();
    start(&self);
    if (run_until_ready(&self, seconds)) tell_readiness((int)ready_fd);
    while (!self.channel_ended && !self.ending) turn(&self, -1);
    if (self.ending) return deliver(&self);
    say("the host has closed the channel");
    return EXIT_SUCCESS;
}
