/*
 * vsock-forwarder: carries the streams that the guest dials over vsock out of the VM, where the host has no vsock
 * of its own. The agent knows nothing of it: with the kernel's vsock_loopback as the only transport, a connect to
 * the host's CID reaches the listeners made here. protocol.h tells how.
 *
 *   vsock-forwarder [--daemon] [--deadline SECONDS] [--name PORT-NAME | --channel PATH-OR-FD] [--unix DIRECTORY]
 *
 * --daemon     return once all ports that the host named up front are listened on, and go on in the background
 * --deadline   seconds until the host must have said READY; default 20. Then the exit code is 1.
 * --name       the virtio-serial port's name; default lcow.vsock
 * --channel    instead of a port: a device, a Unix socket to connect to, or a number, an inherited fd
 * --unix       listen on Unix sockets DIRECTORY/PORT instead of vsock; for tests
 *
 * When the host closes the channel every stream is reset and the exit code is 0.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "forwarder.h"

static void print(const char *format, va_list arguments)
{
    char line[512] = "vsock-forwarder: ";
    size_t used = strlen(line);
    vsnprintf(line + used, sizeof line - used - 1, format, arguments);
    strcat(line, "\n");
    /* Nobody to tell when stderr is gone. */
    (void)!write(STDERR_FILENO, line, strlen(line));
}

void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* @returns false when the host has closed the channel. */
static bool run_until_ready(struct forwarder *self, long seconds)
{
    long long deadline = now_ms() + seconds * 1000LL;
    /* Until the answers are out, too: the parent's end must mean that a dial succeeds. */
    while (!self->ready || self->first_reply != NULL || self->out_end > 0) {
        long long left = deadline - now_ms();
        if (left <= 0)
            fail("the host did not say READY within %ld s", seconds);
        turn(self, (int)left);
        if (self->channel_ended)
            return false;
    }
    return true;
}

static void go_to_background(void)
{
    pid_t child = fork();
    if (child < 0)
        fail("cannot go to the background: %s", strerror(errno));
    if (child > 0)
        _exit(EXIT_SUCCESS);
    if (setsid() < 0 || chdir("/") < 0)
        say("cannot leave the session or directory: %s", strerror(errno));
    /* Everything in the VM hangs on it, as on the agent: not to be chosen when memory runs out. */
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "-1000", 5) != 5)
        say("cannot lower the own OOM score: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* One fd for each stream, and a few. */
static void allow_fds(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    rlim_t wanted = MAX_STREAMS + 256;
    if (limit.rlim_cur >= wanted)
        return;
    struct rlimit raised = {.rlim_cur = wanted, .rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
        return;
    raised.rlim_cur = raised.rlim_max = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) < 0)
        say("cannot raise the limit of open files: %s", strerror(errno));
}

int main(int count, char **arguments)
{
    static struct forwarder self;
    static const struct option options[] = {
        {"daemon", no_argument, NULL, 'd'},         {"deadline", required_argument, NULL, 's'},
        {"name", required_argument, NULL, 'n'},     {"channel", required_argument, NULL, 'c'},
        {"unix", required_argument, NULL, 'u'},     {0},
    };
    const char *name = "lcow.vsock", *channel = NULL;
    bool daemonize = false;
    long seconds = 20;
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd': daemonize = true; break;
        case 's': seconds = strtol(optarg, NULL, 10); break;
        case 'n': name = optarg; break;
        case 'c': channel = optarg; break;
        case 'u': self.endpoint.unix_directory = optarg; break;
        default: return 2;
        }
    }
    if (optind != count || seconds <= 0 || seconds > 3600)
        fail("usage: vsock-forwarder [--daemon] [--deadline SECONDS] [--name NAME | --channel PATH-OR-FD] "
             "[--unix DIRECTORY]");

    signal(SIGPIPE, SIG_IGN);
    allow_fds();
    self.channel = channel != NULL ? open_channel(channel) : open_named_port(name);
    struct stat status;
    if (fstat(self.channel, &status) < 0)
        fail("cannot look at the channel: %s", strerror(errno));
    self.channel_is_port = S_ISCHR(status.st_mode);
    start(&self);
    if (run_until_ready(&self, seconds) && daemonize)
        go_to_background();
    while (!self.channel_ended)
        turn(&self, -1);
    say("the host has closed the channel");
    return EXIT_SUCCESS;
}
