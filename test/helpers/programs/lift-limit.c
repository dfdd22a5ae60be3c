// Tries to lift this process's own limits through a user namespace and a cgroup2 mount of its own, then to make cgroups
// without end; prints a line each: NAME ERRNO, and how many cgroups it made.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static const char mount_point[] = "/tmp/cgroup";

static int tell(const char *name, long result) {
    printf("%s %s\n", name, result >= 0 ? "works" : strerrorname_np(errno));
    return result >= 0;
}

static long write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0) return -1;
    long written = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return written;
}

int main(void) {
    char path[256];
    mkdir(mount_point, 0755);
    if (!tell("unshare", unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP))) return 0;
    tell("map", write_file("/proc/self/uid_map", "0 0 1"));
    if (!tell("mount", mount("cgroup2", mount_point, "cgroup2", 0, NULL))) return 0;
    snprintf(path, sizeof path, "%s/memory.max", mount_point);
    tell("memory.max", write_file(path, "max"));
    snprintf(path, sizeof path, "%s/cgroup.max.descendants", mount_point);
    tell("descendants", write_file(path, "max"));
    int made = 0;
    for (; made < 5000; made++) {
        snprintf(path, sizeof path, "%s/c%d", mount_point, made);
        if (mkdir(path, 0755) < 0) break;
    }
    tell("mkdir", made < 5000 ? -1 : 0);
    printf("made %d\n", made);
    for (; made > 0; made--) {
        snprintf(path, sizeof path, "%s/c%d", mount_point, made - 1);
        rmdir(path);
    }
    return 0;
}
