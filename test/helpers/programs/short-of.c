// short-of descriptors|watches N PROGRAM ARGUMENTS...: runs a program that may have no descriptor, or epoll watch no
// descriptor, from number N on. Root could lift a limit, and watches are counted for a user on the whole machine.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS(test, value, skip) BPF_JUMP(BPF_JMP | (test) | BPF_K, value, 0, skip)

static int filter(struct sock_filter *program, unsigned short length) {
    struct sock_fprog all = {.len = length, .filter = program};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all);
}

static int deny_limits(unsigned number) {
    struct rlimit limit = {number, number};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return -1;
    struct sock_filter program[] = {
        LOAD(nr),
        UNLESS(BPF_JEQ, SYS_prlimit64, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    return filter(program, sizeof program / sizeof *program);
}

static int deny_watches(unsigned number) {
    struct sock_filter program[] = {
        LOAD(nr),
        UNLESS(BPF_JEQ, SYS_epoll_ctl, 5),
        LOAD(args[1]),
        UNLESS(BPF_JEQ, EPOLL_CTL_ADD, 3),
        LOAD(args[2]),
        UNLESS(BPF_JGE, number, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    return filter(program, sizeof program / sizeof *program);
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    unsigned number = (unsigned)strtoul(argv[2], NULL, 10);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return 1;
    if ((strcmp(argv[1], "watches") == 0 ? deny_watches(number) : deny_limits(number)) < 0) {
        perror("short-of");
        return 1;
    }
    execv(argv[3], argv + 3);
    perror(argv[3]);
    return 1;
}
