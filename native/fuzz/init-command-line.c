// What /init takes from the kernel's command line, and from its own arguments: against a plain reading of the same.
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char text[2049];  // the kernel takes 2048 bytes
static jmp_buf refused;

static int open_text(const char *path, int flags, ...) {
    HOLD(strcmp(path, "/proc/cmdline") == 0, "%s is opened", path);
    int fd = memfd_create("cmdline", MFD_CLOEXEC);
    HOLD(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && lseek(fd, 0, SEEK_SET) == 0, "memfd");
    return fd;
}

static FILE *fopen_text(const char *path, const char *mode) { return fdopen(open_text(path, 0), "r"); }

#define open open_text
#define fopen fopen_text
#define main init_main
#include "../init/init.c"
#undef main
#include "../init/launch.c"
#include "../init/root.c"
#undef open
#undef fopen

_Noreturn void shut_down(void) { longjmp(refused, 1); }
void say_on_console(const char *format, ...) { (void)format; }

// @returns the value of the last NAME=VALUE before "--", or NULL; and whether NAME is a word by itself.
static const char *find(const char *name, bool first_line, bool *is_word) {
    static char copy[sizeof text];
    strcpy(copy, text);
    if (first_line) copy[strcspn(copy, "\n")] = '\0';
    const char *value = NULL;
    size_t length = strlen(name);
    *is_word = false;
    for (char *at = copy; *at != '\0';) {
        size_t word = strcspn(at, first_line ? " " : " \n");
        char *next = at + word + (at[word] != '\0');
        at[word] = '\0';
        if (strcmp(at, "--") == 0) break;
        if (strcmp(at, name) == 0) *is_word = true;
        if (strncmp(at, name, length) == 0 && at[length] == '=') value = at + length + 1;
        at = next;
    }
    return value;
}

static void try_command_line(void) {
    static const char *const names[] = {"root", "init", "hcsshim.cgroup", "lcow.harden", "rw", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bool is_word;
        const char *wanted = find(names[i], false, &is_word), *found = kernel_argument(names[i]);
        HOLD((wanted == NULL) == (found == NULL) && (wanted == NULL || strcmp(wanted, found) == 0),
             "%s is \"%s\" instead of \"%s\"", names[i], found ? found : "(none)", wanted ? wanted : "(none)");
    }
    bool is_word;
    find("rw", true, &is_word);
    HOLD(kernel_flag("rw") == is_word, "rw is %s", is_word ? "there and not seen" : "seen and not there");
}

// The same bytes as arguments, split at newlines.
static void try_arguments(void) {
    static char copy[sizeof text];
    strcpy(copy, text);
    char *words[34] = {"init"};
    int count = 1;
    for (char *at = copy; at != NULL && count < 32;) {
        char *next = strchr(at, '\n');
        if (next) *next++ = '\0';
        words[count++] = at;
        at = next;
    }
    optind = 0;
    opterr = 0;
    if (setjmp(refused) != 0) return;
    struct options options = parse(count, words);
    HOLD(options.command != NULL && options.command[0] != NULL, "no command");
    if (options.entropy_port != 0) {
        char port[16];
        snprintf(port, sizeof port, "%u", options.entropy_port);
        bool is_named = false;
        for (int i = 1; i < count; i++) is_named |= strstr(words[i], port) != NULL;
        HOLD(is_named, "port %u is none that was named", options.entropy_port);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size >= sizeof text) return -1;
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0') text[i] = ' ';
    try_command_line();
    try_arguments();
    return 0;
}
