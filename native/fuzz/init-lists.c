// The lists that /init reads: of modules, of devices' aliases, of cgroup controllers.
#include "input.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char text[4096];
static size_t length;
static unsigned loaded;

static FILE *fopen_text(const char *path, const char *mode) { return length > 0 ? fmemopen(text, length, "r") : NULL; }
static int open_none(const char *path, int flags, ...) { return memfd_create("none", MFD_CLOEXEC); }
static int access_some(const char *path, int mode) { return strlen(path) % 3 == 0 ? 0 : -1; }
static DIR *opendir_none(const char *path) { return NULL; }
static int mount_none(const char *source, const char *target, const char *type, unsigned long flags, const void *data) {
    HOLD(strncmp(target, "/sys/fs/cgroup", 14) == 0, "a mount on %s", target);
    return 0;
}
static int mkdir_none(const char *path, mode_t mode) { return 0; }
static int umount_none(const char *target, int flags) { return 0; }

static long syscall_some(long number, ...) {
    if (number != SYS_finit_module) return 0;
    errno = ++loaded % 2 == 0 ? EEXIST : ENODEV;
    return loaded % 3 == 0 ? 0 : -1;
}

#define fopen fopen_text
#define open open_none
#define access access_some
#define opendir opendir_none
#define mount mount_none
#define mkdir mkdir_none
#define umount2 umount_none
#define syscall syscall_some
#include "../init/modules.c"
#include "../init/cgroups.c"
#undef fopen
#undef open
#undef access

void log_message(enum log_level level, const char *format, ...) {
    char line[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
}

const char *kernel_argument(const char *name) { return length % 2 == 0 ? "v1" : NULL; }

static bool has_line_that_begins_with(char sign) {
    for (size_t at = 0; at < length; at++) {
        while (at < length && (text[at] == ' ' || text[at] == '\t')) at++;
        if (at + 1 < length && text[at] == sign && strchr(" \t", text[at + 1])) return true;
        while (at < length && text[at] != '\n') at++;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    size_t alias_length = take8(&input);
    if (alias_length > input.left) alias_length = input.left;
    aliases.text = malloc(alias_length + 2);
    memcpy(aliases.text, input.data, alias_length);
    aliases.text[alias_length] = '\n';
    aliases.text[alias_length + 1] = '\0';
    aliases.length = alias_length + 1;
    aliases.valid = true;
    length = input.left - alias_length;
    if (length > sizeof text) length = sizeof text;
    memcpy(text, input.data + alias_length, length);
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\0') text[i] = '\n';

    loaded = 0;
    load_modules("/etc/modules.list", MODULES_ON_DEMAND);
    HOLD(loaded == 0 || has_line_that_begins_with('+'), "a module is loaded on demand that is none of that kind");
    load_modules("/etc/modules.list", MODULES_AT_BOOT);
    mount_cgroups();
    free(aliases.text);  // where there was no list
    aliases.text = NULL;
    return 0;
}
