// Tries what a container has no business with; prints a line each: NAME ERRNO.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *name, long result) {
    printf("%s %s\n", name, result >= 0 ? "works" : strerrorname_np(errno));
}

static int idle(void *unused) {
    (void)unused;
    return 0;
}

static long clone_with(int flags) {
    static char stack[16384];
    return clone(idle, stack + sizeof stack, flags | SIGCHLD, NULL);
}

int main(void) {
    char buffer[128] = {0};
    tell("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
    tell("umount", umount2("/tmp", MNT_DETACH));
    tell("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    tell("unshare-user", unshare(CLONE_NEWUSER));
    tell("unshare-cgroup", unshare(CLONE_NEWCGROUP));
    tell("setns", setns(0, 0));
    tell("clone-user", clone_with(CLONE_NEWUSER));
    tell("clone-plain", clone_with(0));
    tell("clone3", syscall(SYS_clone3, buffer, 88));
    tell("keyctl", syscall(SYS_keyctl, 0, -3, 1));
    tell("add-key", syscall(SYS_add_key, "user", "n", "p", 1, -3));
    tell("bpf", syscall(SYS_bpf, 0, buffer, sizeof buffer));
    tell("perf", syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0));
    tell("userfaultfd", syscall(SYS_userfaultfd, 1));
    tell("open-by-handle", syscall(SYS_open_by_handle_at, -1, buffer, 0));
    tell("kexec", syscall(SYS_kexec_load, 0, 0, NULL, 0));
    tell("init-module", syscall(SYS_init_module, buffer, 0, ""));
    tell("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
    tell("swapon", syscall(SYS_swapon, "/none", 0));
    tell("pivot-root", syscall(SYS_pivot_root, ".", "."));
    tell("io-uring", syscall(SYS_io_uring_setup, 1, buffer));
    tell("syslog", syscall(SYS_syslog, 3, buffer, sizeof buffer));
    tell("acct", syscall(SYS_acct, NULL));
    tell("settimeofday", syscall(SYS_settimeofday, NULL, NULL));
    tell("personality-no-randomize", personality(ADDR_NO_RANDOMIZE));
    tell("personality-query", personality(0xffffffff));
    tell("socket-vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
    tell("socket-vsock-wide", syscall(SYS_socket, 0x100000000L | AF_VSOCK, SOCK_STREAM, 0));
    tell("socket-alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
    tell("socket-unix", socket(AF_UNIX, SOCK_STREAM, 0));
    tell("socket-inet6", socket(AF_INET6, SOCK_STREAM, 0));
    tell("socket-netlink", socket(AF_NETLINK, SOCK_RAW, 0));
    while (wait(NULL) > 0) continue;
    return 0;
}
