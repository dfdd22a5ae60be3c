#include "init.h"
#include "vsock.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>

// Subscribes to kernel events first and looks second, so that a device which comes in between is not missed.
bool wait_for_device(bool (*is_there)(const char *), const char *what, int timeout_ms) {
    int events = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
    if (events >= 0) bind(events, (struct sockaddr *)&address, sizeof address);
    long long deadline = monotonic_ms() + timeout_ms;
    bool found;
    while (!(found = is_there(what))) {
        long long left = deadline - monotonic_ms();
        if (events < 0 || left <= 0) break;
        struct pollfd wait = {.fd = events, .events = POLLIN};
        if (poll(&wait, 1, (int)left) <= 0) continue;
        char event[4096];
        while (recv(events, event, sizeof event, 0) > 0) continue;  // an overrun (ENOBUFS) is an event too
    }
    if (events >= 0) close(events);
    return found;
}

static bool path_exists(const char *path) { return access(path, F_OK) == 0; }

bool wait_for_path(const char *path, int timeout_ms) { return wait_for_device(path_exists, path, timeout_ms); }
