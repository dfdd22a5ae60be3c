// /bin/gcs reads the agent's environment and command line from a file: they are the file's lines, and then its own
// arguments.
#include "input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static char text[8192];
static size_t length;
// Lines live on in the environment and the arguments: here, until the next input.
static void *made[8192];
static int made_count;
static char *variables[8192];
static int variable_count;
static char **ran;

static FILE *fopen_text(const char *path, const char *mode) { return length == 0 ? NULL : fmemopen(text, length, "r"); }

static void *calloc_kept(size_t count, size_t size) { return made[made_count++] = calloc(count, size); }

static ssize_t getline_kept(char **line, size_t *size, FILE *file) {
    char *before = *line;
    ssize_t got = getline(line, size, file);
    for (int i = 0; i < made_count; i++)
        if (made[i] == before && before != NULL) made[i] = *line;
    if (before == NULL && *line != NULL) made[made_count++] = *line;
    return got;
}

static int putenv_kept(char *variable) {
    variables[variable_count++] = variable;
    return 0;
}

static int execv_none(const char *program, char *const *arguments) {
    HOLD(program == arguments[0], "the program is not its first argument");
    ran = (char **)arguments;
    errno = ENOENT;
    return -1;
}

#define fopen fopen_text
#define calloc calloc_kept
#define getline getline_kept
#define putenv putenv_kept
#define execv execv_none
#define fprintf(...) ((void)0)
#define main gcs_main
#include "../init/gcs.c"
#undef main
#undef fprintf

// @returns the next line that is not empty, without its end, or NULL.
static const char *next_line(size_t *at, size_t *size) {
    while (*at < length) {
        const char *line = text + *at;
        const char *end = memchr(line, '\n', length - *at);
        *size = end ? (size_t)(end - line) : length - *at;
        *at += *size + 1;
        // A string ends at the first zero, wherever the line does.
        size_t shown = strnlen(line, *size);
        *size = shown;
        if (shown > 0) return line;
    }
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    length = size < sizeof text - 1 ? size : sizeof text - 1;
    memcpy(text, data, length);
    text[length] = '\0';
    made_count = variable_count = 0;
    ran = NULL;
    char *arguments[] = {"gcs", "-loglevel", "debug", NULL};
    HOLD(gcs_main(3, arguments) == 127, "it ends with another status");

    size_t at = 0, line_size;
    int program = 0, variable = 0;
    for (const char *line; program < MOST_ITEMS && (line = next_line(&at, &line_size));) {
        bool is_variable = program == 0 && line[0] != '/' && memchr(line, '=', line_size) != NULL;
        const char *got = is_variable ? (variable < variable_count ? variables[variable++] : "(none)")
                                      : (ran ? ran[program] : "(none)");
        if (!is_variable) program++;
        HOLD(strlen(got) == line_size && memcmp(got, line, line_size) == 0, "\"%s\" is not line \"%.*s\"", got,
             (int)line_size, line);
    }
    HOLD((ran != NULL) == (program > 0), "%d items", program);
    if (ran) {
        HOLD(strcmp(ran[program], "-loglevel") == 0 && strcmp(ran[program + 1], "debug") == 0, "its own arguments");
        HOLD(ran[program + 2] == NULL, "the list has no end");
    }
    for (int i = 0; i < made_count; i++) free(made[i]);
    return 0;
}
