#include "init.h"
#include "vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    TERM_MS = 500,
    DELIVER_MS = 2000,  // after that, for the forwarder, whose own deadline is shorter
    KILL_MS = 2000,
    SYNC_MS = 10000,
};

static pid_t messenger;
// One byte each: for the thread that settles the disks, and from it. -1: there is none, as nobody has written yet.
static int asked[2] = {-1, -1}, settled[2] = {-1, -1};

// Reaps until `pid` (-1: every child) is gone or the time is up.
static void wait_for_end(pid_t pid, int timeout_ms) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    long long deadline = monotonic_ms() + timeout_ms;
    for (;;) {
        pid_t ended = waitpid(pid, NULL, WNOHANG);
        if (ended > 0 && pid > 0) return;
        if (ended > 0) continue;
        if (ended < 0 && errno == ECHILD) return;
        long long left = deadline - monotonic_ms();
        if (left <= 0) return;
        struct timespec limit = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
        sigtimedwait(&child, NULL, &limit);
    }
}

// Disks are left clean where that is possible; one that still is in use is at least synced.
static void settle_disks(void) {
    sync();
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    if (!mounts) return;
    for (struct mntent *entry; (entry = getmntent(mounts));)
        if (strncmp(entry->mnt_fsname, "/dev/", 5) == 0)
            mount(NULL, entry->mnt_dir, NULL, MS_REMOUNT | MS_RDONLY, NULL);
    endmntent(mounts);
}

static void *settle_when_asked(void *unused) {
    char byte;
    while (read(asked[0], &byte, 1) < 0 && errno == EINTR) continue;
    settle_disks();
    (void)!write(settled[1], &byte, 1);
    return unused;
}

bool prepare_shut_down(void) {
    pthread_t thread;
    int pipes[2][2];
    if (pipe2(pipes[0], O_CLOEXEC) < 0 || pipe2(pipes[1], O_CLOEXEC) < 0) return false;
    memcpy(asked, pipes[0], sizeof asked);
    memcpy(settled, pipes[1], sizeof settled);
    errno = pthread_create(&thread, NULL, settle_when_asked, NULL);
    if (errno != 0) asked[1] = -1;
    return errno == 0;
}

void shut_down_last(pid_t pid) { messenger = pid; }

_Noreturn void shut_down(void) {
    kill(-1, SIGTERM);
    wait_for_end(-1, TERM_MS);
    // What the others said last is still under way to the host.
    if (messenger > 0) wait_for_end(messenger, DELIVER_MS);
    kill(-1, SIGKILL);
    wait_for_end(-1, KILL_MS);
    // Elsewhere, since a disk that does not answer would keep PID 1 for ever.
    struct pollfd wait = {.fd = settled[0], .events = POLLIN};
    if (asked[1] >= 0 && write(asked[1], "", 1) == 1) poll(&wait, 1, SYNC_MS);
    reboot(RB_POWER_OFF);
    reboot(RB_AUTOBOOT);  // no way to power off here: a host that asked for panic=-1 takes a reset as the end
    for (;;) pause();
}
