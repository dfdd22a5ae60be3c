// From the initramfs to the real root, whose own init goes on with the same arguments. Two cases:
// - root=/dev/... on the kernel's command line, for a kernel whose disk drivers are modules, which the
//   initramfs then holds;
// - /layers/*.squashfs in the initramfs: the whole image, compressed, later names on top. It takes a third of
//   the memory that its files would take one by one, and as it is mounted, runc's pivot_root works below it.
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

enum { DEVICE_MS = 10000 };
static const char new_root[] = "/newroot";
static const char layers[] = "/layers";

static bool on_initramfs(void) {
    struct statfs info;
    return statfs("/", &info) == 0 && (info.f_type == RAMFS_MAGIC || info.f_type == TMPFS_MAGIC);
}

static bool kernel_flag(const char *flag) {
    char line[4096] = " ", word[16];
    FILE *file = fopen("/proc/cmdline", "re");
    if (!file) return false;
    bool read = fgets(line + 1, sizeof line - 2, file) != NULL;
    fclose(file);
    if (!read) return false;
    line[strcspn(line, "\n")] = ' ';
    char *end = strstr(line, " -- ");
    if (end) end[1] = '\0';
    snprintf(word, sizeof word, " %s ", flag);
    return strstr(line, word) != NULL;
}

static void mount_disk(const char *device) {
    static const char *const known[] = {"ext4", "erofs", "squashfs"};
    if (!wait_for_path(device, DEVICE_MS)) {
        errno = ENOENT;
        fatal(device);
    }
    const char *type = kernel_argument("rootfstype");
    bool mounted = false;
    if (type) mounted = mount(device, new_root, type, MS_RDONLY, NULL) == 0;
    for (size_t i = 0; i < sizeof known / sizeof *known && !type && !mounted; i++)
        mounted = mount(device, new_root, known[i], MS_RDONLY, NULL) == 0;
    if (!mounted) fatal(device);
    if (kernel_flag("rw") && mount(NULL, new_root, NULL, MS_REMOUNT, NULL) < 0)
        log_message(LOG_WARNING, "%s stays read-only: %s", device, strerror(errno));
}

static int is_layer(const struct dirent *entry) {
    const char *ending = strrchr(entry->d_name, '.');
    return ending && strcmp(ending, ".squashfs") == 0;
}

// The layers below, a tmpfs above: writable, as an initramfs is.
static void mount_layers(void) {
    struct dirent **names;
    int count = scandir(layers, &names, is_layer, alphasort);
    if (count <= 0) fatal(layers);
    char options[1024] = "upperdir=/writable/upper,workdir=/writable/work,lowerdir=";
    for (int i = count - 1; i >= 0; i--) {  // overlayfs wants the topmost first
        char file[300], device[32], target[32];
        snprintf(file, sizeof file, "%s/%s", layers, names[i]->d_name);
        snprintf(target, sizeof target, "/lower%d", i);
        mkdir(target, 0755);
        if (!attach_loop(file, device, sizeof device) || mount(device, target, "squashfs", MS_RDONLY, NULL) < 0)
            fatal(file);
        size_t length = strlen(options);
        snprintf(options + length, sizeof options - length, "%s%s", target, i > 0 ? ":" : "");
    }
    mkdir("/writable", 0755);
    if (mount("tmpfs", "/writable", "tmpfs", 0, "mode=0755") < 0) fatal("tmpfs for the root");
    mkdir("/writable/upper", 0755);
    mkdir("/writable/work", 0755);
    if (mount("root", new_root, "overlay", 0, options) < 0) fatal("overlay for the root");
}

// What has done its work would keep its memory: nothing can reach it afterwards.
static int forget(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status;
    (void)walk;
    if (type == FTW_F || type == FTW_SL) unlink(path);
    return 0;
}

static _Noreturn void enter(const char *program, char **argv) {
    static const char *const carried[] = {"/dev", "/proc", "/sys"};
    for (size_t i = 0; i < sizeof carried / sizeof *carried; i++) {
        char target[32];
        snprintf(target, sizeof target, "%s%s", new_root, carried[i]);
        if (mount(carried[i], target, NULL, MS_MOVE, NULL) < 0) fatal(target);
    }
    nftw("/", forget, 16, FTW_PHYS | FTW_MOUNT);  // FTW_MOUNT: this file system only
    if (chdir(new_root) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        fatal("change to the root");
    argv[0] = strdup(program);
    execv(program, argv);
    fatal(program);
}

void switch_root(char **argv) {
    if (!on_initramfs()) return;
    const char *value = kernel_argument("root");
    bool disk = value && strncmp(value, "/dev/", 5) == 0;
    if (!disk && access(layers, F_OK) < 0) return;
    mkdir(new_root, 0755);
    if (!disk) {
        mount_layers();
        enter("/init", argv);
    }
    char *device = strdup(value);
    mount_disk(device);
    value = kernel_argument("init");
    enter(value ? strdup(value) : "/init", argv);
}
