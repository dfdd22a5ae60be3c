// What the parts of /init share. PID 1 must not die: a part that can be done without logs and returns; only
// what no container could run without is fatal, and fatal means a message and power-off.
//
// Who calls whom, always downwards: init; root, forwarder, harden, mounts, cgroups, entropy, network, reap; modules,
// launch, device-wait, loop; log; shutdown; vsock. vsockexec: vsockexec; relay; line-buffer, vsock.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_INFO = 6 };  // the kernel log's own numbers

// log.c
void open_console(void);  // fds 0, 1, 2: the console, or /dev/null where the kernel has none
void log_message(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Bounded: a console that takes nothing (flow control) costs a second.
void say_on_console(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fatal(const char *what);  // logs `what` with errno, then powers off

// mounts.c
void mount_kernel_filesystems(void);  // /dev, /proc, /sys: what finding the root needs
void mount_temporary_filesystems(void);
void mount_writable_overlays(void);  // over /etc and /var, kept in a tmpfs of at most 40 % of memory

// cgroups.c
void mount_cgroups(void);  // v2, all controllers delegated; v1 where v2 lacks, or by hcsshim.cgroup=v1

// network.c
void bring_loopback_up(void);

// modules.c
enum module_time { MODULES_AT_BOOT, MODULES_ON_DEMAND };
void load_modules(const char *list_path, enum module_time time);  // docs/image.md describes the list

// harden.c
void harden_kernel(void);  // sysctls; docs/security.md lists them
void lock_modules(void);   // loads what there is "on demand" beside everything else, then lets nothing be loaded

// entropy.c
void seed_entropy(unsigned port);  // bounded: a host that does not answer costs 2 s at most

// root.c: from a first stage in the initramfs to the root's own init; returns when this is the root
void switch_root(char **argv);

// loop.c
bool attach_loop(const char *file, char *device, size_t size);  // read-only; `device` gets its path

// device-wait.c
bool wait_for_device(bool (*is_there)(const char *), const char *what, int timeout_ms);
bool wait_for_path(const char *path, int timeout_ms);  // of a device; by uevents, not by polling

// forwarder.c: in QEMU without a vsock device, what carries the guest's streams out. Returns its pid, 0 where there is
// none to start, and sets GCS_TRANSPORT for all who dial; without it no host is reached, so its failure is fatal.
pid_t start_forwarder(void);

// launch.c
void raise_limits(void);
int exit_status(int wait_status);  // 128+N for signal N
pid_t launch(char *const argv[]);
const char *kernel_argument(const char *name);  // value of name=value before "--"; static buffer, NULL: absent

// reap.c
// The command's status, as wait() has it; or FORWARDER_ENDED, where the forwarder (0: none) ended first.
enum { FORWARDER_ENDED = -1 };
int reap_until_exit(pid_t command, pid_t forwarder);

// shutdown.c
// Makes at boot what settles the disks at the end, when there may be no process or memory to be had.
// @returns false with errno.
bool prepare_shut_down(void);
void shut_down_last(pid_t pid);  // it gets SIGTERM as all do, and 2 s more to bring away what they sent
_Noreturn void shut_down(void);  // ends all processes, syncs, remounts read-only, powers off
