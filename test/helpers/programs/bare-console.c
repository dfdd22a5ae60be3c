// Starts as PID 1 does where the kernel could open no console: without fds 0 to 2. /init's open_console() gives them;
// the program that is named finds them, or not. With --stalled instead of a program: on a console of which somebody has
// stopped the output (Ctrl-S) it says a line as /init does. Compiled with native/init/log.c.
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <termios.h>
#include <unistd.h>

#include "../../../native/init/init.h"

// What fatal() of log.c ends in; nothing here is fatal.
_Noreturn void shut_down(void) { _exit(99); }

// In a mount namespace of its own. The terminal is never closed.
static int stall_console(void) {
    int terminal = posix_openpt(O_RDWR | O_NOCTTY), console;
    if (terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0 || unshare(CLONE_NEWNS) < 0) return 1;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return 1;
    if (mount(ptsname(terminal), "/dev/console", NULL, MS_BIND, NULL) < 0) return 1;
    console = open("/dev/console", O_RDWR | O_NOCTTY);
    return console < 0 || tcflow(console, TCOOFF) < 0;
}

int main(int count, char **arguments) {
    if (count < 2) return 2;
    int stalled = strcmp(arguments[1], "--stalled") == 0;
    if (stalled && stall_console() != 0) {
        perror("a stalled console");
        return 1;
    }
    for (int fd = 0; fd <= 2; fd++) close(fd);
    open_console();
    if (stalled) {
        say_on_console("init: command exited with status 0");
        return 0;
    }
    execvp(arguments[1], arguments + 1);
    return 127;
}
