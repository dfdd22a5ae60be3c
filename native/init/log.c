// Messages go to the kernel log, where they are in order with the kernel's own and whence the agent forwards
// them; the kernel shows them on the console as its log level says.
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void open_console(void) {
    // O_NONBLOCK is not set: a serial console drains by itself. O_NOCTTY: Ctrl-C on it must not reach PID 1. Not
    // O_CLOEXEC: where the kernel has opened none this is fd 0 itself, which is for all that is run.
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);
    if (fd < 0) fd = open("/dev/null", O_RDWR);
    if (fd < 0) return;
    for (int target = 0; target <= 2; target++) dup2(fd, target);
    if (fd > 2) close(fd);
}

enum { CONSOLE_MS = 1000 };

// A console that is gone, or takes nothing, never stops the boot or the end.
static void write_all(int fd, const char *text, size_t length) {
    for (struct pollfd wait = {.fd = fd, .events = POLLOUT}; length > 0;) {
        ssize_t written = write(fd, text, length);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno == EAGAIN && poll(&wait, 1, CONSOLE_MS) > 0) continue;
        if (written <= 0) return;
        text += written;
        length -= (size_t)written;
    }
}

void log_message(enum log_level level, const char *format, ...) {
    char line[900];  // the kernel takes 1 kB a record
    int error = errno;
    int length = snprintf(line, sizeof line, "<%d>init: ", level);
    va_list arguments;
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof line - (size_t)length, format, arguments);
    va_end(arguments);
    if ((size_t)length >= sizeof line) length = sizeof line - 1;
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        write_all(fd, line, (size_t)length);
        close(fd);
    }
    errno = error;
}

void say_on_console(const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2) length = sizeof line - 2;
    line[length++] = '\n';
    // Not by fd 2: not to block is the open file's, and what is run has that one, too.
    int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return;
    write_all(fd, line, (size_t)length);
    close(fd);
}

_Noreturn void fatal(const char *what) {
    int error = errno;
    log_message(LOG_ERROR, "%s: %s", what, strerror(error));
    say_on_console("init: cannot go on: %s: %s", what, strerror(error));
    shut_down();
}
