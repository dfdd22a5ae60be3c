/**
 * Which system calls a container may make when its caller brings no profile: all that programs use, none that only the
 * machine's administrator needs or that makes namespaces, mounts or traces of the kernel. As strict as Docker's
 * profile for a container without CAP_SYS_ADMIN, and stricter in two things: no io_uring, and of socket families only
 * those of SOCKET_FAMILIES. Format: https://github.com/opencontainers/runtime-spec, config-linux.md, "Seccomp".
 *
 * Names stand for all ABIs of a machine; runtimes pass over those that an ABI has not.
 */

const words = (text: string) => text.trim().split(/\s+/);

const ALLOWED = {
  files: words(`
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl
    fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 getcwd getdents
    getdents64 ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat
    name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
    readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice stat stat64 statfs
    statfs64 statx symlink symlinkat sync sync_file_range sync_file_range2 syncfs tee truncate truncate64 umask unlink
    unlinkat vmsplice write writev arm_fadvise64_64 arm_sync_file_range`),
  attributes: words(`
    fgetxattr flistxattr fremovexattr fsetxattr futimesat getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
    lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat utime utimensat utimensat_time64 utimes`),
  memory: words(`
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
    mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
    remap_file_pages`),
  processes: words(`
    arch_prctl breakpoint cacheflush capget capset chroot execve execveat exit exit_group fork get_robust_list
    get_thread_area getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp
    getpid getppid getresgid getresgid32 getresuid getresuid32 getsid gettid getuid getuid32 kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self modify_ldt pause pidfd_open pidfd_send_signal prctl process_vm_readv
    process_vm_writev ptrace restart_syscall rseq seccomp set_robust_list set_thread_area set_tid_address set_tls
    setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setregid setregid32 setresgid
    setresgid32 setresuid setresuid32 setreuid setreuid32 setsid setuid setuid32 tgkill tkill uname vfork wait4 waitid
    waitpid`),
  signals: words(`
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack signal signalfd signalfd4 sigpending sigprocmask
    sigreturn sigsuspend`),
  waiting: words(`
    _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
    eventfd eventfd2 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake inotify_add_watch inotify_init
    inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
    poll ppoll ppoll_time64 pselect6 pselect6_time64 select`),
  time: words(`
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times`),
  limits: words(`
    getpriority getrandom getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield setpriority
    setrlimit sysinfo ugetrlimit`),
  sockets: words(`
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair`),
  messages: words(`
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
    msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`),
};

/** <bits/socket.h>: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET. */
const SOCKET_FAMILIES = [1, 2, 10, 16, 17];
/** The kernel takes a family as int: the upper half of the register means nothing, and must not hide the lower. */
const INT_MASK = 0xffff_ffff;

/** <sys/personality.h>: Linux, 32-bit Linux, each with 2.6's version number, and the question what it is. */
const PERSONALITIES = [0, 0x0008, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

/** <linux/sched.h>: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET, none of which may be set. */
const NAMESPACE_FLAGS = 0x7e02_0000;

const ENOSYS = 38;
const EPERM = 1;

/**
 * Calls of another ABI end the program. x32 is left out: Debian's kernels have it switched off, and each ABI costs a
 * container 3 ms of its start.
 */
const ARCHITECTURES = {
  x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
} as const;

/** @param architecture of the guest */
export function defaultSeccomp(architecture: keyof typeof ARCHITECTURES) {
  const allow = "SCMP_ACT_ALLOW";
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures: ARCHITECTURES[architecture],
    syscalls: [
      { names: Object.values(ALLOWED).flat(), action: allow },
      ...SOCKET_FAMILIES.map((family) => ({
        names: ["socket"],
        action: allow,
        args: [{ index: 0, value: INT_MASK, valueTwo: family, op: "SCMP_CMP_MASKED_EQ" }],
      })),
      ...PERSONALITIES.map((value) => ({
        names: ["personality"],
        action: allow,
        args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
      })),
      {
        names: ["clone"],
        action: allow,
        args: [{ index: 0, value: NAMESPACE_FLAGS, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      },
      // Its flags lie in memory, which a filter cannot see; C libraries then use clone.
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
    ],
  };
}
