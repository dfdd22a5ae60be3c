#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print(const char *format, va_list arguments) {
    char line[512] = "vsock-forwarder: ";
    size_t used = strlen(line);
    vsnprintf(line + used, sizeof line - used - 1, format, arguments);
    strcat(line, "\n");
    /* Nobody to tell when stderr is gone. */
    (void)!write(STDERR_FILENO, line, strlen(line));
}

void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
    exit(EXIT_FAILURE);
}
