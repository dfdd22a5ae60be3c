// The floor of the throughput benchmarks: what a relay costs that reads and writes, 32 KiB at a time.
//   copy-relay FROM_FD TO_FD
// Copies to the end and prints the processor time it took, in nanoseconds, on stderr.
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int from = atoi(argv[1]), to = atoi(argv[2]);
    static char buffer[32 * 1024];
    for (;;) {
        ssize_t length = read(from, buffer, sizeof buffer);
        if (length == 0) break;
        if (length < 0) return perror("copy-relay: read"), 1;
        for (ssize_t done = 0; done < length;) {
            ssize_t written = write(to, buffer + done, (size_t)(length - done));
            if (written < 0) return perror("copy-relay: write"), 1;
            done += written;
        }
    }
    shutdown(to, SHUT_WR);
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    fprintf(stderr, "%lld\n", used.tv_sec * 1000000000LL + used.tv_nsec);
    return 0;
}
