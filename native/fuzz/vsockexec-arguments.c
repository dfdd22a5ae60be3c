// vsockexec's arguments: a port is a decimal number of 32 bits, and what follows the options is the program.
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define dial_host dial_for_real
#include "../init/vsock.c"
#undef dial_host

int dial_host(unsigned port, int timeout_ms);

static char **ran;
static unsigned ran_with[3];
static bool relayed;

static int execvp_none(const char *program, char **arguments) {
    ran = arguments;
    errno = ENOENT;
    return -1;
}
static int dup2_none(int from, int to) {
    ran_with[to] = (unsigned)(from - 100);
    return to;
}
static int close_none(int fd) { return 0; }
static int fcntl_same(int fd, int command, ...) { return fd; }

#define main vsockexec_main
#define execvp execvp_none
#define dup2 dup2_none
#define close close_none
#define fcntl fcntl_same
#define fprintf(...) ((void)0)
#define fputs(...) ((void)0)
#include "../init/vsockexec.c"
#undef fprintf
#undef fputs

int run_relay(const unsigned ports[3], char **command) {
    memcpy(ran_with, ports, sizeof ran_with);
    ran = command;
    relayed = true;
    return 0;
}

// Small ports have a descriptor that tells which it was; others are not tried.
int dial_host(unsigned port, int timeout_ms) { return port < 1000 ? (int)port + 100 : -1; }

static bool is_port(const char *word, unsigned *port) {
    unsigned long long value = 0;
    if (*word == '\0') return false;
    for (; *word; word++) {
        if (*word < '0' || *word > '9') return false;
        value = value * 10 + (unsigned)(*word - '0');
        if (value > 0xffffffffULL) return false;
    }
    *port = (unsigned)value;
    return true;
}

// @returns whether the arguments are right, read by themselves.
static bool read_plainly(char **words, unsigned ports[3], bool *relay, char ***program) {
    char **at = words + 1;
    for (; *at && (*at)[0] == '-' && (*at)[1] != '\0'; at++) {
        if (strcmp(*at, "--") == 0) {
            at++;
            break;
        }
        for (const char *option = *at + 1; *option; option++) {
            if (*option == 'r') {
                *relay = true;
                continue;
            }
            const char *names = "ioe", *name = strchr(names, *option);
            if (!name) return false;
            const char *value = option[1] != '\0' ? option + 1 : *++at;
            if (!value || !is_port(value, &ports[name - names])) return false;
            break;
        }
    }
    *program = at;
    return *at != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char text[512];
    if (size >= sizeof text) return -1;
    memcpy(text, data, size);
    text[size] = '\0';
    char *words[18] = {"vsockexec"};
    int count = 1;
    for (size_t at = 0; at < size && count < 16; at += strlen(text + at) + 1) words[count++] = text + at;
    words[count] = NULL;

    unsigned ports[3] = {0};
    bool relay = false;
    char **program = NULL;
    bool is_right = read_plainly(words, ports, &relay, &program);
    ran = NULL;
    relayed = false;
    memset(ran_with, 0, sizeof ran_with);
    optind = 0;
    opterr = 0;
    int status = vsockexec_main(count, words);
    if (!is_right) {
        HOLD(ran == NULL && status == 1, "it takes arguments that are wrong");
        return 0;
    }
    if (!relay && (ports[0] >= 1000 || ports[1] >= 1000 || ports[2] >= 1000)) return 0;
    HOLD(ran == program && relayed == relay, "it does not run what was named");
    for (int i = 0; i < 3; i++)
        HOLD(ran_with[i] == ports[i], "stream %d has port %u, not %u", i, ran_with[i], ports[i]);
    return 0;
}
