#include "init.h"
#include "vsock.h"

#include <errno.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TERM_MS = 500, KILL_MS = 2000, SYNC_MS = 10000 };

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

_Noreturn void shut_down(void) {
    kill(-1, SIGTERM);
    wait_for_end(-1, TERM_MS);
    kill(-1, SIGKILL);
    wait_for_end(-1, KILL_MS);
    // In a child, since a disk that does not answer would keep PID 1 for ever.
    pid_t settling = fork();
    if (settling == 0) {
        settle_disks();
        _exit(0);
    }
    if (settling > 0) wait_for_end(settling, SYNC_MS);
    reboot(RB_POWER_OFF);
    reboot(RB_AUTOBOOT);  // no way to power off here: a host that asked for panic=-1 takes a reset as the end
    for (;;) pause();
}
