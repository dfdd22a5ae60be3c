// The two ends of the throughput benchmarks; statically linked, so that it runs in a container too.
//   bytes source COUNT   writes that many bytes to stdout, 1 MiB at a time
//   bytes sink           reads stdin to its end and prints "BYTES NANOSECONDS"; the clock runs from the first
//                        byte to the end
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char buffer[1024 * 1024];

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int source(long long left) {
    memset(buffer, 'x', sizeof buffer);
    while (left > 0) {
        size_t length = left < (long long)sizeof buffer ? (size_t)left : sizeof buffer;
        ssize_t written = write(STDOUT_FILENO, buffer, length);
        if (written < 0) return perror("bytes: write"), 1;
        left -= written;
    }
    return 0;
}

static int sink(void) {
    long long total = 0, start = 0;
    for (;;) {
        ssize_t length = read(STDIN_FILENO, buffer, sizeof buffer);
        if (length < 0) return perror("bytes: read"), 1;
        if (length == 0) break;
        if (total == 0) start = now();
        total += length;
    }
    printf("%lld %lld\n", total, now() - start);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "source") == 0) return source(atoll(argv[2]));
    if (argc == 2 && strcmp(argv[1], "sink") == 0) return sink();
    return 2;
}
