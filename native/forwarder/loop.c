/* The event loop, and the channel's two directions. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "loop.h"
#include "frames.h"
#include "listeners.h"
#include "output.h"
#include "report.h"
#include "streams.h"
#include "watch.h"

void start(struct forwarder *self) {
    self->last_reply = &self->first_reply;
    self->last_queued = &self->first_queued;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll < 0) fail("cannot make an epoll: %s", strerror(errno));
    /* Edge-triggered throughout: a port whose host is away reports EPOLLHUP, level-triggered for ever. */
    if (!watch(self, self->channel, WATCH_TAG(WATCH_CHANNEL, 0), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET))
        fail("cannot watch the channel: %s", strerror(errno));
    if (!watch(self, self->signals, WATCH_TAG(WATCH_SIGNALS, 0), EPOLLIN | EPOLLET))
        fail("cannot watch for signals: %s", strerror(errno));
    self->channel_readable = self->channel_writable = true;
    uint32_t window = GUEST_WINDOW;
    put_frame(self, FRAME_HELLO, PROTOCOL_VERSION, &window);
}

static void note_event(struct forwarder *self, const struct epoll_event *event) {
    uint32_t number = (uint32_t)event->data.u64;
    bool readable = event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    bool writable = event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
    switch (event->data.u64 >> 32) {
        case WATCH_CHANNEL:
            self->channel_readable |= readable;
            self->channel_writable |= writable;
            break;
        case WATCH_SIGNALS:
            self->ending = true;
            break;
        case WATCH_LISTENER: {
            struct listener *listener = find_listener(self, number);
            if (listener != NULL) listener->readable = true;
            break;
        }
        default: {
            struct stream *stream = find_stream(self, number);
            if (stream == NULL) break; /* closed by an earlier event of this batch */
            stream->readable |= readable;
            stream->writable |= writable;
            if (writable && stream->pending != NULL) flush_stream(self, stream);
            else queue_stream(self, stream);
        }
    }
}

static void read_channel(struct forwarder *self) {
    ssize_t got = read(self->channel, self->in + self->in_end, IN_SIZE - self->in_end);
    if (got > 0) {
        self->in_end += (size_t)got;
        handle_input(self);
    } else if (got == 0) {
        self->channel_readable = false;
        /* A port reads as ended until the host has opened its end of it. */
        self->channel_ended = self->hello_received || !self->channel_is_port;
    } else if (errno == EAGAIN) {
        self->channel_readable = false;
    } else if (errno != EINTR) {
        fail("cannot read from the channel: %s", strerror(errno));
    }
}

static void fill_output(struct forwarder *self) {
    if (self->ping_owed && output_room(self) >= HEADER_SIZE) {
        put_frame(self, FRAME_PING, self->ping_number, NULL);
        self->ping_owed = false;
    }
    while (self->first_reply != NULL && output_room(self) >= HEADER_SIZE + 4) {
        struct reply *reply = self->first_reply;
        put_frame(self, reply->type, reply->port, &reply->error);
        self->first_reply = reply->next;
        if (self->first_reply == NULL) self->last_reply = &self->first_reply;
        free(reply);
    }
    while (output_room(self) >= ROOM_FOR_STREAM) {
        struct stream *stream = next_queued_stream(self);
        if (stream == NULL) break;
        send_stream(self, stream);
    }
    if (!self->bye_owed || self->first_queued != NULL || output_room(self) < HEADER_SIZE) return;
    put_frame(self, FRAME_BYE, 0, NULL);
    self->bye_owed = false;
    self->bye_sent = true;
}

static void write_channel(struct forwarder *self) {
    while (self->out_start < self->out_end && self->channel_writable) {
        ssize_t put = write(self->channel, self->out + self->out_start, self->out_end - self->out_start);
        if (put >= 0) self->out_start += (size_t)put;
        else if (errno == EAGAIN) self->channel_writable = false;
        else if (errno == EPIPE || errno == ECONNRESET || errno == ENODEV)
            self->channel_ended = true, self->channel_writable = false;
        else if (errno != EINTR) fail("cannot write to the channel: %s", strerror(errno));
    }
    if (self->out_start == self->out_end) self->out_start = self->out_end = 0;
}

static bool has_work(const struct forwarder *self) {
    bool output = self->out_end > 0 || self->ping_owed || self->first_reply != NULL || self->first_queued != NULL;
    return self->channel_readable || (self->channel_writable && output);
}

void turn(struct forwarder *self, int timeout_ms) {
    struct epoll_event events[64];
    int count = epoll_wait(self->epoll, events, sizeof events / sizeof *events, has_work(self) ? 0 : timeout_ms);
    if (count < 0 && errno != EINTR) fail("cannot wait for events: %s", strerror(errno));
    for (int at = 0; at < count; at++) note_event(self, &events[at]);
    if (self->channel_readable) read_channel(self);
    fill_output(self);
    write_channel(self);
    accept_streams(self);
}
