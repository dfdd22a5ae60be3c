/* Ports that the host asked for. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* After sys/socket.h, whose types it uses. */
#include <linux/vm_sockets.h>

#include "forwarder.h"

static int bind_vsock(int fd, uint32_t port)
{
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    return bind(fd, (struct sockaddr *)&address, sizeof address);
}

static int bind_unix(int fd, const char *directory, uint32_t port)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int size = snprintf(address.sun_path, sizeof address.sun_path, "%s/%u", directory, port);
    if (size < 0 || (size_t)size >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return bind(fd, (struct sockaddr *)&address, sizeof address);
}

/* @returns a listening fd, or -1 with errno. */
static int listen_on(const struct endpoint *endpoint, uint32_t port)
{
    int family = endpoint->unix_directory != NULL ? AF_UNIX : AF_VSOCK;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int failed = family == AF_UNIX ? bind_unix(fd, endpoint->unix_directory, port) : bind_vsock(fd, port);
    if (failed || listen(fd, SOMAXCONN) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static void reply(struct forwarder *self, enum frame_type type, uint32_t port, int error)
{
    struct reply *made = calloc(1, sizeof *made);
    if (made == NULL)
        fail("no memory for an answer about port %u", port);
    *made = (struct reply){.type = type, .port = port, .error = (uint32_t)error};
    *self->last_reply = made;
    self->last_reply = &made->next;
}

struct listener *find_listener(struct forwarder *self, uint32_t port)
{
    struct listener *at = self->listeners;
    while (at != NULL && at->port != port)
        at = at->next;
    return at;
}

void answer_listen(struct forwarder *self, uint32_t port)
{
    int fd = listen_on(&self->endpoint, port);
    if (fd < 0) {
        reply(self, FRAME_LISTEN, port, errno);
        return;
    }
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        fail("no memory to listen on port %u", port);
    *listener = (struct listener){.next = self->listeners, .port = port, .fd = fd};
    self->listeners = listener;
    watch(self, fd, WATCH_TAG(WATCH_LISTENER, port), EPOLLIN | EPOLLET);
    reply(self, FRAME_LISTEN, port, 0);
}

void answer_unlisten(struct forwarder *self, uint32_t port)
{
    struct listener **link = &self->listeners;
    while (*link != NULL && (*link)->port != port)
        link = &(*link)->next;
    struct listener *listener = *link;
    if (listener == NULL) {
        reply(self, FRAME_UNLISTEN, port, ENOENT);
        return;
    }
    *link = listener->next;
    close(listener->fd);
    free(listener);
    if (self->endpoint.unix_directory != NULL) {
        char path[sizeof((struct sockaddr_un *)0)->sun_path];
        snprintf(path, sizeof path, "%s/%u", self->endpoint.unix_directory, port);
        if (unlink(path) < 0)
            say("cannot remove %s: %s", path, strerror(errno));
    }
    reply(self, FRAME_UNLISTEN, port, 0);
}

/* One connection. @returns false when there is none to accept now. */
static bool accept_one(struct forwarder *self, struct listener *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (!add_stream(self, fd, listener->port)) {
            say("no memory for another stream of port %u", listener->port);
            close(fd);
        }
        return true;
    }
    if (errno == ECONNABORTED || errno == EINTR)
        return true;
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        /* The backlog keeps it; the next stream that closes makes room. */
        if (self->stream_count == 0)
            fail("cannot accept on port %u: %s", listener->port, strerror(errno));
        return false;
    }
    listener->readable = false;
    if (errno != EAGAIN)
        say("cannot accept on port %u: %s", listener->port, strerror(errno));
    return false;
}

void accept_streams(struct forwarder *self)
{
    for (struct listener *at = self->listeners; at != NULL; at = at->next)
        while (at->readable && self->stream_count < MAX_STREAMS && accept_one(self, at))
            continue;
}
