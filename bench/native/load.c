// A host that asks as fast as it can, over a connected, blocking socket on stdin.
//   load TYPE BODY COUNT IN_FLIGHT
// Sends COUNT requests of that message type (hexadecimal) and JSON body, at most IN_FLIGHT of them unanswered, and
// prints "TOTAL_NANOSECONDS MEDIAN_NANOSECONDS" (the median is that of single requests from send to reply).
// A reply that says anything but "Result":0 ends it with an error.
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 16, BUFFER = 1024 * 1024 };

static char incoming[BUFFER];
static size_t held;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_all(const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = send(STDIN_FILENO, bytes, length, MSG_NOSIGNAL);
        if (sent < 0) fail("send");
        bytes += sent;
        length -= (size_t)sent;
    }
}

static void receive_some(void) {
    // EAGAIN is the deadline set in main.
    ssize_t length = recv(STDIN_FILENO, incoming + held, sizeof incoming - held, 0);
    if (length <= 0) fail("recv");
    held += (size_t)length;
}

static uint32_t word(size_t offset) {
    uint32_t value;
    memcpy(&value, incoming + offset, sizeof value);
    return le32toh(value);
}

static int compare(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    uint32_t type = (uint32_t)strtoul(argv[1], NULL, 16);
    size_t size = HEADER + strlen(argv[2]);
    long count = atol(argv[3]), in_flight = atol(argv[4]);
    char *frames = malloc(size * (size_t)in_flight);
    int64_t *times = calloc((size_t)count, sizeof *times);
    if (!frames || !times) fail("malloc");
    for (long i = 0; i < in_flight; i++) memcpy(frames + i * (long)size + HEADER, argv[2], size - HEADER);
    struct timeval deadline = {30, 0};
    if (setsockopt(STDIN_FILENO, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline) < 0) fail("setsockopt");

    int64_t start = now();
    for (long sent = 0, answered = 0; answered < count;) {
        size_t batch = 0;
        for (; sent < count && sent - answered < in_flight; sent++, batch += size) {
            uint32_t words[2] = {htole32(type), htole32((uint32_t)size)};
            // Above all ids that the bench itself uses.
            uint64_t id = htole64(1000000000000ULL + (uint64_t)sent);
            memcpy(frames + batch, words, sizeof words);
            memcpy(frames + batch + sizeof words, &id, sizeof id);
            times[sent] = -now();
        }
        if (batch > 0) send_all(frames, batch);
        receive_some();
        size_t at = 0;
        for (; held - at >= HEADER && held - at >= word(at + 4); at += word(at + 4), answered++) {
            uint64_t id;
            memcpy(&id, incoming + at + 8, sizeof id);
            times[le64toh(id) - 1000000000000ULL] += now();
            size_t length = word(at + 4) - HEADER;
            if (length > 0 && !memmem(incoming + at + HEADER, length, "\"Result\":0", 10)) {
                fprintf(stderr, "load: the reply is no success: %.*s\n", (int)length, incoming + at + HEADER);
                return 1;
            }
        }
        memmove(incoming, incoming + at, held - at);
        held -= at;
    }
    int64_t total = now() - start;
    qsort(times, (size_t)count, sizeof *times, compare);
    printf("%lld %lld\n", (long long)total, (long long)times[count / 2]);
    return 0;
}
