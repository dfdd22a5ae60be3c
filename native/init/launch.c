#include "init.h"
#include "vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

// What the kernel counts for a user, or for the machine: the root of a container is the same user as the agent and the
// forwarder, who would fail when a container has taken it all. What each costs is counted against its container's
// memory.
static void unbind_counts(void) {
    static const struct {
        const char *path, *limit;
    } counts[] = {
        {"/proc/sys/fs/epoll/max_user_watches", "1099511627776"},
        {"/proc/sys/fs/file-max", "9223372036854775807"},
        {"/proc/sys/fs/inotify/max_user_instances", "2147483647"},
        {"/proc/sys/fs/inotify/max_user_watches", "2147483647"},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int fd = open(counts[i].path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, counts[i].limit, strlen(counts[i].limit)) < 0)
            log_message(LOG_WARNING, "%s: %s", counts[i].path, strerror(errno));
        if (fd >= 0) close(fd);
    }
}

// Soft limit small, since programs that use select() or close every possible fd rely on it; hard limit large.
void raise_limits(void) {
    unbind_counts();
    struct rlimit files = {.rlim_cur = 1024, .rlim_max = 1024 * 1024};
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) log_message(LOG_WARNING, "limit of open files: %s", strerror(errno));
}

const char *kernel_argument(const char *name) {
    static char line[4096];
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    ssize_t count = read(fd, line, sizeof line - 1);
    close(fd);
    line[count > 0 ? count : 0] = '\0';
    size_t length = strlen(name);
    const char *value = NULL;
    for (char *word = strtok(line, " \n"); word && strcmp(word, "--") != 0; word = strtok(NULL, " \n"))
        if (strncmp(word, name, length) == 0 && word[length] == '=') value = word + length + 1;  // the last one counts
    return value;
}

pid_t launch(char *const argv[]) {
    pid_t pid = fork();
    if (pid != 0) return pid;
    setsid();
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    // Nothing of the kernel command line's environment gets through: the PATH is the image's own.
    const char *transport = getenv(TRANSPORT_VARIABLE);
    char way[128];
    snprintf(way, sizeof way, "%s=%s", TRANSPORT_VARIABLE, transport ? transport : "");
    char *const environment[] = {"PATH=/sbin:/usr/sbin:/bin:/usr/bin", "HOME=/root", "TERM=linux",
                                 transport ? way : NULL, NULL};
    environ = (char **)environment;
    execvpe(argv[0], argv, environment);
    int error = errno;
    say_on_console("init: cannot run %s: %s", argv[0], strerror(error));
    _exit(error == ENOENT ? 127 : 126);
}
