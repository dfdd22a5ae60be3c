// Closes what a utility VM does not need and an attacker inside a container could use. lcow.harden=off on the
// kernel's command line leaves it all open. docs/security.md tells the reason of each.
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct setting {
    const char *name, *value;
} settings[] = {
    {"dev/tty/ldisc_autoload", "0"},
    {"dev/tty/legacy_tiocsti", "0"},
    {"fs/protected_fifos", "1"},
    {"fs/protected_hardlinks", "1"},
    {"fs/protected_regular", "1"},
    {"fs/protected_symlinks", "1"},
    {"kernel/dmesg_restrict", "1"},
    {"kernel/kexec_load_disabled", "1"},
    {"kernel/kptr_restrict", "2"},
    {"kernel/perf_event_paranoid", "3"},
    {"kernel/sysrq", "0"},
    {"kernel/unprivileged_bpf_disabled", "1"},
    {"kernel/yama/ptrace_scope", "1"},
    {"net/core/bpf_jit_harden", "1"},
    // Of all containers together; a container's own runtime, browser or package manager needs a few.
    {"user/max_user_namespaces", "256"},
    {"vm/unprivileged_userfaultfd", "0"},
};

static bool is_wanted(void) {
    const char *wish = kernel_argument("lcow.harden");
    return !wish || strcmp(wish, "off") != 0;
}

static void set(const struct setting *setting) {
    char path[96];
    snprintf(path, sizeof path, "/proc/sys/%s", setting->name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    // A kernel without the setting lacks what it restricts, or knows no restriction.
    if (fd < 0 && errno == ENOENT) return;
    if (fd < 0 || write(fd, setting->value, strlen(setting->value)) < 0)
        log_message(LOG_WARNING, "%s=%s: %s", path, setting->value, strerror(errno));
    if (fd >= 0) close(fd);
}

void harden_kernel(void) {
    if (!is_wanted()) return;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) set(&settings[i]);
}

// How long what containers do may keep the modules waiting.
enum { PATIENCE_SECONDS = 10 };

static void use_scheduler(int policy) {
    if (sched_setscheduler(0, policy, &(struct sched_param){0}) < 0)
        log_message(LOG_INFO, "sched_setscheduler: %s", strerror(errno));
}

static void lose_patience(int signal) {
    (void)signal;
    use_scheduler(SCHED_OTHER);
}

void lock_modules(void) {
    if (!is_wanted()) return;
    pid_t pid = fork();
    if (pid != 0) {
        if (pid < 0) log_message(LOG_WARNING, "the kernel stays open to modules: fork: %s", strerror(errno));
        return;
    }
    // The host waits for the agent and then for a container, nobody for this; but what is busy for ever must not keep
    // the kernel open.
    signal(SIGALRM, lose_patience);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    use_scheduler(SCHED_IDLE);
    alarm(PATIENCE_SECONDS);
    load_modules("/etc/modules.list", MODULES_ON_DEMAND);
    set(&(struct setting){"kernel/modules_disabled", "1"});
    _exit(0);
}
