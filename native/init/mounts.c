#include "init.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLAIN = MS_NODEV | MS_NOSUID | MS_NOEXEC };

struct mount_point {
    const char *source, *target, *type;
    unsigned long flags;
    const char *options;
    bool optional;
};

static const struct mount_point kernel_filesystems[] = {
    {"dev", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, NULL, false},
    {"proc", "/proc", "proc", PLAIN, NULL, false},
    {"sysfs", "/sys", "sysfs", PLAIN, NULL, false},
};

static const struct mount_point temporary_filesystems[] = {
    {"tmpfs", "/run", "tmpfs", PLAIN, "mode=0755", false},
    {"tmpfs", "/tmp", "tmpfs", PLAIN, "mode=1777", false},
    {"shm", "/dev/shm", "tmpfs", PLAIN, "mode=1777", false},
    {"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666", false},
    {"mqueue", "/dev/mqueue", "mqueue", PLAIN, NULL, true},
};

static void make_directory(const char *path) {
    // On a read-only root it is there already, or the mount tells what is missing.
    if (mkdir(path, 0755) < 0 && errno != EEXIST && errno != EROFS)
        log_message(LOG_WARNING, "mkdir %s: %s", path, strerror(errno));
}

// By the kernel or by the stage before. mount() tells only for some types: a second proc is a new one.
static bool is_mount_point(const char *path) {
    char above[64];
    struct stat here, there;
    snprintf(above, sizeof above, "%s/..", path);
    return stat(path, &here) == 0 && stat(above, &there) == 0 && here.st_dev != there.st_dev;
}

static void mount_one(const struct mount_point *point) {
    if (strcmp(point->type, "overlay") != 0 && is_mount_point(point->target)) return;
    make_directory(point->target);
    if (mount(point->source, point->target, point->type, point->flags, point->options) == 0) return;
    char what[128];
    snprintf(what, sizeof what, "mount %s on %s", point->type, point->target);
    if (!point->optional) fatal(what);
    log_message(LOG_WARNING, "%s: %s", what, strerror(errno));
}

void mount_kernel_filesystems(void) {
    for (size_t i = 0; i < sizeof kernel_filesystems / sizeof *kernel_filesystems; i++)
        mount_one(&kernel_filesystems[i]);
}

void mount_temporary_filesystems(void) {
    for (size_t i = 0; i < sizeof temporary_filesystems / sizeof *temporary_filesystems; i++)
        mount_one(&temporary_filesystems[i]);

    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"}};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
            log_message(LOG_WARNING, "symlink %s: %s", links[i][1], strerror(errno));
}

void mount_writable_overlays(void) {
    // A tmpfs of its own: what fills /etc or /var must not take the room of the container files in /run.
    mount_one(&(struct mount_point){"tmpfs", "/run/over", "tmpfs", PLAIN, "size=40%,mode=0755", false});
    static const struct {
        const char *target, *directory;
        unsigned long flags;
    } overlays[] = {{"/etc", "/run/over/etc", PLAIN}, {"/var", "/run/over/var", MS_NODEV | MS_NOSUID}};
    for (size_t i = 0; i < sizeof overlays / sizeof *overlays; i++) {
        char upper[64], work[64], options[256];
        snprintf(upper, sizeof upper, "%s/upper", overlays[i].directory);
        snprintf(work, sizeof work, "%s/work", overlays[i].directory);
        snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", overlays[i].target, upper, work);
        make_directory(overlays[i].directory);
        make_directory(upper);
        make_directory(work);
        mount_one(&(struct mount_point){"overlay", overlays[i].target, "overlay", overlays[i].flags, options, false});
    }
}
