// Starts as PID 1 does where the kernel could open no console: without fds 0 to 2. /init's open_console() gives them;
// the program that is named finds them, or not. Compiled with native/init/log.c.
#include <stdio.h>
#include <unistd.h>

#include "../../../native/init/init.h"

// What fatal() of log.c ends in; nothing here is fatal.
_Noreturn void shut_down(void) { _exit(99); }

int main(int count, char **arguments) {
    if (count < 2) return 2;
    for (int fd = 0; fd <= 2; fd++) close(fd);
    open_console();
    execvp(arguments[1], arguments + 1);
    return 127;
}
