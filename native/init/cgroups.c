#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

static const char root[] = "/sys/fs/cgroup";
static const unsigned long flags = MS_NODEV | MS_NOSUID | MS_NOEXEC;

static bool write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int error = errno;
    close(fd);
    errno = error;
    return done;
}

// Device rules are BPF programs in v2; without them every container would fail to start.
static bool device_rules_work(void) {
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    union bpf_attr query = {.query = {.target_fd = (unsigned)fd, .attach_type = BPF_CGROUP_DEVICE}};
    long result = syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof query);
    bool works = result >= 0 || (errno != ENOSYS && errno != EINVAL);
    close(fd);
    return works;
}

// One by one: a controller that refuses must not take the others with it.
static void delegate_controllers(char *controllers) {
    for (char *name = strtok(controllers, " \n"); name; name = strtok(NULL, " \n")) {
        char text[64];
        snprintf(text, sizeof text, "+%s", name);
        if (!write_text("/sys/fs/cgroup/cgroup.subtree_control", text))
            log_message(LOG_WARNING, "cgroup controller %s is not delegated: %s", name, strerror(errno));
    }
}

static bool mount_v2(void) {
    // nsdelegate: what has a cgroup namespace of its own cannot lift the limits of that namespace's root, however it
    // came to a mount of it. Kernels before 4.13 lack it.
    if (mount("cgroup2", root, "cgroup2", flags, "nsdelegate") < 0 &&
        (errno != EINVAL || mount("cgroup2", root, "cgroup2", flags, NULL) < 0))
        return errno == EBUSY;
    char controllers[512] = "";
    FILE *file = fopen("/sys/fs/cgroup/cgroup.controllers", "re");
    if (file) {
        if (!fgets(controllers, sizeof controllers, file)) controllers[0] = '\0';
        fclose(file);
    }
    if (controllers[0] != '\0' && controllers[0] != '\n' && device_rules_work()) {
        delegate_controllers(controllers);
        return true;
    }
    umount2(root, MNT_DETACH);
    return false;
}

static void mount_v1(void) {
    FILE *file = fopen("/proc/cgroups", "re");
    if (!file) {
        log_message(LOG_WARNING, "this kernel has no cgroups: %s", strerror(errno));
        return;
    }
    if (mount("cgroup", root, "tmpfs", flags, "mode=0755") < 0)
        log_message(LOG_WARNING, "mount tmpfs on %s: %s", root, strerror(errno));
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char name[64], path[128];
        int enabled;
        if (line[0] == '#' || sscanf(line, "%63s %*d %*d %d", name, &enabled) != 2 || !enabled) continue;
        snprintf(path, sizeof path, "%s/%s", root, name);
        mkdir(path, 0755);
        if (mount("cgroup", path, "cgroup", flags, name) < 0)
            log_message(LOG_WARNING, "mount cgroup %s: %s", name, strerror(errno));
    }
    fclose(file);
    // Kernels before 5.11 count a child's memory in its parent only when told so.
    write_text("/sys/fs/cgroup/memory/memory.use_hierarchy", "1");
}

void mount_cgroups(void) {
    const char *wish = kernel_argument("hcsshim.cgroup");
    if (wish && strcmp(wish, "v1") == 0) {
        mount_v1();
    } else if (!mount_v2()) {
        log_message(LOG_INFO, "no usable cgroup v2; using v1");
        mount_v1();
    }
}
