// take-watches N: takes N epoll watches, prints how many it got, and holds them until its standard input ends.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EACH = 900 };

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    long wanted = strtol(argv[1], NULL, 10), got = 0;
    int fds[EACH], first = eventfd(0, 0), error = 0;
    for (int i = 0; i < EACH; i++) fds[i] = dup(first);
    while (got < wanted && error == 0) {
        // The epoll lives on in the parent's place: a child for each, since descriptors are few and watches many.
        int ready[2];
        if (pipe(ready) < 0) return 1;
        pid_t child = fork();
        if (child < 0) return 1;
        if (child == 0) {
            long count[2] = {0, 0};
            for (int set = 0; set < 80 && count[1] == 0; set++) {
                int epoll = epoll_create1(0);
                for (int i = 0; i < EACH && count[1] == 0; i++) {
                    struct epoll_event event = {.events = EPOLLIN};
                    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event) < 0) count[1] = errno;
                    else count[0]++;
                }
            }
            if (write(ready[1], count, sizeof count) != sizeof count) _exit(1);
            pause();
        }
        long count[2];
        if (read(ready[0], count, sizeof count) != sizeof count) return 1;
        close(ready[0]);
        close(ready[1]);
        got += count[0];
        error = (int)count[1];
    }
    printf("%ld watches: %s\n", got, strerror(error));
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) continue;
    return 0;
}
