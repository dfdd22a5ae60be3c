// Loads the modules of a list in its order. A line is a condition, then files below /lib/modules/RELEASE:
//   -                  kernel/net/vmw_vsock/vsock.ko
//   acpi*:VMBUS:*      kernel/drivers/hv/hv_vmbus.ko kernel/net/vmw_vsock/hv_sock.ko
//   +                  kernel/drivers/net/dummy.ko
// "-" is always; "+" is not at boot, but before nothing can be loaded any more; else comma-separated patterns, one of
// which must match the modalias of a device that is there when the line's turn comes, so a line may wait for what an
// earlier line's driver found.
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

// Every modalias that sysfs shows, newline-separated; read once until a module is loaded.
static struct {
    char *text;
    size_t length;
    bool valid;
} aliases;

static void add_alias(int bus_devices, const char *device) {
    char path[300], text[1024];
    snprintf(path, sizeof path, "%s/modalias", device);
    int fd = openat(bus_devices, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t count = read(fd, text, sizeof text);
    close(fd);
    if (count <= 0) return;
    char *grown = realloc(aliases.text, aliases.length + (size_t)count + 2);
    if (!grown) return;
    aliases.text = grown;
    memcpy(aliases.text + aliases.length, text, (size_t)count);
    aliases.length += (size_t)count;
    aliases.text[aliases.length++] = '\n';
    aliases.text[aliases.length] = '\0';
}

static void read_aliases(void) {
    aliases.length = 0;
    aliases.valid = true;
    static const char *const buses[] = {"acpi", "pci", "virtio", "vmbus", "platform", "nd"};
    for (size_t i = 0; i < sizeof buses / sizeof *buses; i++) {
        char path[64];
        snprintf(path, sizeof path, "/sys/bus/%s/devices", buses[i]);
        DIR *directory = opendir(path);
        if (!directory) continue;
        for (struct dirent *entry; (entry = readdir(directory));)
            if (entry->d_name[0] != '.') add_alias(dirfd(directory), entry->d_name);
        closedir(directory);
    }
}

static bool device_matches(const char *pattern) {
    if (!aliases.valid) read_aliases();
    for (char *at = aliases.text, *end; at && *at; at = end + 1) {
        end = strchr(at, '\n');
        if (!end) break;
        *end = '\0';
        bool matches = fnmatch(pattern, at, 0) == 0;
        *end = '\n';
        if (matches) return true;
    }
    return false;
}

static bool condition_holds(char *condition, enum module_time time) {
    bool on_demand = strcmp(condition, "+") == 0;
    if (time == MODULES_ON_DEMAND || on_demand) return on_demand && time == MODULES_ON_DEMAND;
    if (strcmp(condition, "-") == 0) return true;
    char *rest;
    for (char *pattern = strtok_r(condition, ",", &rest); pattern; pattern = strtok_r(NULL, ",", &rest))
        if (device_matches(pattern)) return true;
    return false;
}

static bool already_there(const char *file) {
    const char *base = strrchr(file, '/');
    base = base ? base + 1 : file;
    char path[128];
    int length = snprintf(path, sizeof path, "/sys/module/%.*s", (int)strcspn(base, "."), base);
    for (int i = 12; i < length && i < (int)sizeof path; i++)
        if (path[i] == '-') path[i] = '_';
    return access(path, F_OK) == 0;
}

static void load_file(const char *directory, const char *file) {
    if (already_there(file)) return;
    char path[300];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        log_message(LOG_WARNING, "module %s: %s", path, strerror(errno));
        return;
    }
    size_t length = strlen(file);
    bool compressed = length < 3 || strcmp(file + length - 3, ".ko") != 0;
    enum { MODULE_INIT_COMPRESSED_FILE = 4 };  // linux/module.h, since kernel 5.17
    if (syscall(SYS_finit_module, fd, "", compressed ? MODULE_INIT_COMPRESSED_FILE : 0) == 0) aliases.valid = false;
    else if (errno != EEXIST)
        log_message(errno == ENODEV ? LOG_INFO : LOG_WARNING, "module %s: %s", file, strerror(errno));
    close(fd);
}

void load_modules(const char *list_path, enum module_time time) {
    FILE *list = fopen(list_path, "re");
    if (!list) {
        if (errno != ENOENT) log_message(LOG_WARNING, "%s: %s", list_path, strerror(errno));
        return;
    }
    struct utsname kernel;
    uname(&kernel);
    char directory[128], *line = NULL;
    snprintf(directory, sizeof directory, "/lib/modules/%s", kernel.release);
    if (access(directory, F_OK) < 0)
        log_message(LOG_WARNING, "no modules for kernel %s in this image: build kernel and image together",
                    kernel.release);
    size_t size = 0;
    while (getline(&line, &size, list) > 0) {
        char *rest, *condition = strtok_r(line, " \t\n", &rest);
        if (!condition || condition[0] == '#' || !condition_holds(condition, time)) continue;
        for (char *file; (file = strtok_r(NULL, " \t\n", &rest));) load_file(directory, file);
    }
    free(line);
    fclose(list);
    free(aliases.text);
    aliases.text = NULL;
}
