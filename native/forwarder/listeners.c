/* Ports that the host asked for. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "listeners.h"
#include "report.h"
#include "streams.h"
#include "watch.h"

/* @returns false with errno when the path is too long. */
static bool socket_path(const struct forwarder *self, uint32_t port, struct sockaddr_un *address) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int size = snprintf(address->sun_path, sizeof address->sun_path, "%s_%u", self->prefix, port);
    if (size >= 0 && (size_t)size < sizeof address->sun_path) return true;
    errno = ENAMETOOLONG;
    return false;
}

void make_directory(const char *prefix) {
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    const char *slash = strrchr(prefix, '/');
    if (slash == NULL || slash == prefix || (size_t)(slash - prefix) >= sizeof path)
        fail("the sockets' prefix %s is not one of a short path below a directory", prefix);
    memcpy(path, prefix, (size_t)(slash - prefix));
    path[slash - prefix] = '\0';
    struct stat status;
    if ((mkdir(path, 0700) < 0 && errno != EEXIST) || lstat(path, &status) < 0)
        fail("cannot make the directory %s: %s", path, strerror(errno));
    /* Whoever reaches the sockets can be taken for the agent, whoever makes one for the host. */
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077) != 0)
        fail("%s must be a directory of user %u with mode 0700", path, geteuid());
    umask(0177);
}

/* @returns a listening fd, or -1 with errno. */
static int listen_on(const struct forwarder *self, uint32_t port) {
    struct sockaddr_un address;
    if (!socket_path(self, port, &address)) return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, SOMAXCONN) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static void remove_socket(const struct forwarder *self, uint32_t port) {
    struct sockaddr_un address;
    if (socket_path(self, port, &address) && unlink(address.sun_path) < 0)
        say("cannot remove %s: %s", address.sun_path, strerror(errno));
}

static void reply(struct forwarder *self, enum frame_type type, uint32_t port, int error) {
    struct reply *made = calloc(1, sizeof *made);
    if (made == NULL) fail("no memory for an answer about port %u", port);
    *made = (struct reply){.type = type, .port = port, .error = (uint32_t)error};
    *self->last_reply = made;
    self->last_reply = &made->next;
}

struct listener *find_listener(struct forwarder *self, uint32_t port) {
    struct listener *at = self->listeners;
    while (at != NULL && at->port != port) at = at->next;
    return at;
}

void answer_listen(struct forwarder *self, uint32_t port) {
    int fd = listen_on(self, port);
    if (fd < 0) {
        reply(self, FRAME_LISTEN, port, errno);
        return;
    }
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL || !watch(self, fd, WATCH_TAG(WATCH_LISTENER, port), EPOLLIN | EPOLLET)) {
        reply(self, FRAME_LISTEN, port, errno);
        free(listener);
        close(fd);
        remove_socket(self, port);
        return;
    }
    *listener = (struct listener){.next = self->listeners, .port = port, .fd = fd};
    self->listeners = listener;
    reply(self, FRAME_LISTEN, port, 0);
}

void answer_unlisten(struct forwarder *self, uint32_t port) {
    struct listener **link = &self->listeners;
    while (*link != NULL && (*link)->port != port) link = &(*link)->next;
    struct listener *listener = *link;
    if (listener == NULL) {
        reply(self, FRAME_UNLISTEN, port, ENOENT);
        return;
    }
    *link = listener->next;
    close(listener->fd);
    free(listener);
    remove_socket(self, port);
    reply(self, FRAME_UNLISTEN, port, 0);
}

/* Somebody has dialled and cannot be served: the dial is closed, and the host told so that it waits no longer. */
static void refuse(struct forwarder *self, const struct listener *listener, int fd, int error) {
    say("a dial of port %u is refused: %s", listener->port, strerror(error));
    if (fd >= 0) close(fd);
    reply(self, FRAME_REFUSED, listener->port, error);
}

/* One connection. @returns false when there is none to accept now. */
static bool accept_one(struct forwarder *self, struct listener *listener) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (!add_stream(self, fd, listener->port)) refuse(self, listener, fd, errno);
        return true;
    }
    int error = errno;
    if (error == ECONNABORTED || error == EINTR) return true;
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
        /* One descriptor is kept for this: the backlog must not keep a dial for ever. */
        close(self->spare_fd);
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) refuse(self, listener, fd, error);
        self->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd >= 0) return true;
    }
    listener->readable = false;
    if (error != EAGAIN) say("cannot accept on port %u: %s", listener->port, strerror(error));
    return false;
}

void accept_streams(struct forwarder *self) {
    for (struct listener *at = self->listeners; at != NULL; at = at->next)
        while (at->readable && self->stream_count < MAX_STREAMS && accept_one(self, at)) continue;
}

bool dials_wait(const struct forwarder *self) {
    for (const struct listener *at = self->listeners; at != NULL; at = at->next)
        if (at->readable) return true;
    return false;
}
