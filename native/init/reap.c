#include "init.h"
#include "vsock.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { GRACE_MS = 10000 };

int exit_status(int wait_status) {
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

// Signals are blocked in PID 1 and taken from the queue here. Those that mean "end" (also what busybox's
// halt, poweroff and reboot send) go to the command as SIGTERM; it gets GRACE_MS, then SIGKILL.
int reap_until_exit(pid_t command, pid_t forwarder) {
    sigset_t all;
    sigfillset(&all);
    long long kill_at = -1;
    for (;;) {
        int status;
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
            if (pid == command) return status;
            if (pid != forwarder) continue;
            say_on_console("init: the vsock forwarder ended with status %d", exit_status(status));
            return FORWARDER_ENDED;
        }

        struct timespec left = {0}, *limit = NULL;
        if (kill_at >= 0) {
            long long ms = kill_at - monotonic_ms();
            if (ms <= 0) {
                kill(command, SIGKILL);
                kill_at = -1;
            } else {
                left = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
                limit = &left;
            }
        }
        switch (sigtimedwait(&all, NULL, limit)) {
            case SIGTERM:
            case SIGINT:
            case SIGPWR:
            case SIGUSR1:
            case SIGUSR2:
                if (kill_at < 0) kill_at = monotonic_ms() + GRACE_MS;
                kill(command, SIGTERM);
                break;
            case SIGHUP:
                kill(command, SIGHUP);
                break;
            default:  // SIGCHLD, a time-out, or one that means nothing here
                break;
        }
    }
}
