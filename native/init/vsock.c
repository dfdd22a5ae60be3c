#include "vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

long long monotonic_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

bool parse_port(const char *text, unsigned *port) {
    // Not strtoul alone: it takes blanks, signs, and a negative number for what it is modulo 2^64.
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0') return false;
    errno = 0;
    unsigned long long number = strtoull(text, NULL, 10);
    if (errno != 0 || number > 0xffffffffULL) return false;
    *port = (unsigned)number;
    return true;
}

static bool binds(unsigned cid) {
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = VMADDR_PORT_ANY};
    bool done = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0) close(fd);
    return done;
}

// With the loopback transport and no other, the kernel serves the host's address from this very machine, where any
// container may listen. The loopback is there when its address can be bound; another transport when an address that
// the loopback does not serve (CID 0) has a way.
static bool host_is_elsewhere(void) {
    if (!binds(VMADDR_CID_LOCAL)) return true;
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HYPERVISOR, .svm_port = 1};
    bool no_way = fd < 0 || (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno == ENODEV);
    if (fd >= 0) close(fd);
    return !no_way;
}

// @returns false with errno when it is not the host at the other end of a connected socket.
static bool check_peer(int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_vm vsock;
    } peer = {0};
    socklen_t size = sizeof peer;
    if (getpeername(fd, &peer.any, &size) < 0) return false;
    if (peer.any.sa_family != AF_VSOCK) return true;  // a path that only root reaches
    if (peer.vsock.svm_cid == VMADDR_CID_HOST && host_is_elsewhere()) return true;
    errno = EHOSTUNREACH;
    return false;
}

// Where the host's ports are Unix sockets: their prefix. NULL: AF_VSOCK.
static const char *unix_prefix(void) {
    const char *transport = getenv(TRANSPORT_VARIABLE);
    if (!transport) return NULL;
    static const char *const kinds[] = {"forwarder:", "unix:"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(transport, kinds[i], strlen(kinds[i])) == 0) return transport + strlen(kinds[i]);
    return NULL;
}

struct way {
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_vm vsock;
    } address;
    socklen_t size;
};

// @returns false with errno when the path is too long.
static bool find_way(unsigned port, struct way *way) {
    *way = (struct way){.size = sizeof way->address.vsock};
    const char *prefix = unix_prefix();
    if (!prefix) {
        way->address.vsock = (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
        return true;
    }
    way->size = sizeof way->address.local;
    way->address.local.sun_family = AF_UNIX;
    char *path = way->address.local.sun_path;
    int length = snprintf(path, sizeof way->address.local.sun_path, "%s_%u", prefix, port);
    if (length >= 0 && (size_t)length < sizeof way->address.local.sun_path) return true;
    errno = ENAMETOOLONG;
    return false;
}

static int close_failed(int fd) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int connect_through_signals(int fd, const struct way *way) {
    int result;
    do {
        result = connect(fd, &way->address.any, way->size);
    } while (result < 0 && errno == EINTR);
    return result;
}

int start_dial(unsigned port) {
    struct way way;
    if (!find_way(port, &way)) return -1;
    int fd = socket(way.address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    int result = connect_through_signals(fd, &way);
    if (result < 0 && (errno == EINPROGRESS || errno == EAGAIN)) return fd;
    return result == 0 && check_peer(fd) ? fd : close_failed(fd);
}

int finish_dial(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return -1;
    errno = error;
    return error == 0 && check_peer(fd) ? 0 : -1;
}

static bool is_connected_until(int fd, long long deadline) {
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int ready;
    do {
        long long left = deadline - monotonic_ms();
        ready = poll(&wait, 1, left > 0 ? (int)left : 0);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) errno = ETIMEDOUT;
    return ready > 0 && finish_dial(fd) == 0;
}

static bool limit_waits(int fd, int timeout_ms) {
    struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0;
}

// For room in the listener's backlog a connect can only wait as a blocking one.
static int dial_local(const struct way *way, int timeout_ms) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (limit_waits(fd, timeout_ms) && connect_through_signals(fd, way) == 0 && limit_waits(fd, 0)) return fd;
    if (errno == EAGAIN) errno = ETIMEDOUT;
    return close_failed(fd);
}

int dial_host(unsigned port, int timeout_ms) {
    long long deadline = monotonic_ms() + timeout_ms;
    struct way way;
    if (!find_way(port, &way)) return -1;
    if (way.address.any.sa_family == AF_UNIX) return dial_local(&way, timeout_ms);
    int fd = start_dial(port);
    if (fd < 0 || (is_connected_until(fd, deadline) && fcntl(fd, F_SETFL, 0) == 0)) return fd;
    return close_failed(fd);
}
