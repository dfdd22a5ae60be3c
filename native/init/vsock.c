#include "vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
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

#ifdef DIAL_UNIX
enum { FAMILY = AF_UNIX };
#else
enum { FAMILY = AF_VSOCK };
#endif

static int dial(unsigned port, int socket_flags) {
#ifdef DIAL_UNIX
    struct sockaddr_un address = {.sun_family = FAMILY};
    const char *prefix = getenv("VSOCKEXEC_UNIX_PREFIX");
    snprintf(address.sun_path, sizeof address.sun_path, "%s_%u", prefix ? prefix : "", port);
#else
    struct sockaddr_vm address = {.svm_family = FAMILY, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
#endif
    int fd = socket(FAMILY, SOCK_STREAM | SOCK_CLOEXEC | socket_flags, 0);
    if (fd < 0) return -1;
    int result;
    do {
        result = connect(fd, (struct sockaddr *)&address, sizeof address);
    } while (result < 0 && errno == EINTR);
    if (result == 0 || ((socket_flags & SOCK_NONBLOCK) && (errno == EINPROGRESS || errno == EAGAIN))) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int start_dial(unsigned port) { return dial(port, SOCK_NONBLOCK); }

int finish_dial(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return -1;
    errno = error;
    return error == 0 ? 0 : -1;
}

int dial_host(unsigned port, int timeout_ms) {
    if (timeout_ms < 0) return dial(port, 0);
    int fd = start_dial(port);
    if (fd < 0) return -1;
    long long deadline = monotonic_ms() + timeout_ms;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int ready;
    do {
        long long left = deadline - monotonic_ms();
        ready = poll(&wait, 1, left > 0 ? (int)left : 0);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) errno = ETIMEDOUT;
    if (ready > 0 && finish_dial(fd) == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}
