/* The engine's state; protocol.h tells what it speaks. One thread, one epoll, every fd non-blocking and CLOEXEC. */
#ifndef FORWARDER_H
#define FORWARDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

enum {
    /* A power of two: the slot is the low part of a stream's number. */
    MAX_STREAMS = 4096,
    IN_SIZE = 64 * 1024,
    OUT_SIZE = 2 * (HEADER_SIZE + MAX_PAYLOAD),
    /* Do not read less than this from a stream into what is left of the output. */
    LEAST_READ = 4096,
    /* What send_stream() may need: OPEN, CREDIT and a worthwhile DATA (FIN and RESET are shorter). */
    ROOM_FOR_STREAM = 2 * (HEADER_SIZE + 4) + HEADER_SIZE + LEAST_READ,
};

struct listener {
    struct listener *next;
    uint32_t port;
    int fd;
    bool readable; /* an accept may succeed */
};

/* What is to be said about a port and waits for room in the output: LISTEN, UNLISTEN, REFUSED. */
struct reply {
    struct reply *next;
    enum frame_type type;
    uint32_t port;
    uint32_t error;
};

struct stream {
    uint32_t id;
    uint32_t port;
    int fd;
    bool readable;           /* a read may succeed: edge-triggered, cleared by EAGAIN */
    bool writable;           /* likewise */
    bool open_owed;          /* OPEN is not sent yet */
    bool guest_ended;        /* FIN is sent */
    bool host_ended;         /* FIN has come */
    bool host_closed;        /* RESET(0) has come: deliver what waits, then close */
    uint32_t broken;         /* errno of a failed write: the guest reads no more */
    uint32_t send_window;    /* bytes that the host will take */
    uint32_t receive_window; /* bytes that the host may send */
    uint32_t credit_owed;    /* bytes passed on and not granted again yet */
    uint8_t *pending;        /* bytes for the guest; GUEST_WINDOW long, or NULL when there are none */
    size_t pending_start, pending_end;
    bool queued; /* in the list of streams with something to send */
    struct stream *next;
};

struct forwarder {
    const char *prefix; /* port P is the Unix socket PREFIX_P */
    int epoll;
    int spare_fd; /* given up to refuse a dial where no descriptor is left */
    int channel;
    bool channel_is_port; /* a virtio-serial port: the host's absence is no end of file before it first came */
    bool channel_readable, channel_writable, channel_ended;
    bool hello_received, ready;
    bool ping_owed;
    uint32_t ping_number;
    uint32_t host_window;
    uint8_t in[IN_SIZE];
    size_t in_end;
    uint8_t out[OUT_SIZE];
    size_t out_start, out_end;
    struct listener *listeners;
    struct reply *first_reply, **last_reply;
    struct stream *streams[MAX_STREAMS];
    uint32_t generations[MAX_STREAMS];
    uint32_t stream_count, next_slot;
    struct stream *first_queued, **last_queued;
};

/* Says why on stderr and ends the process, which resets every stream. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* channel.c. @returns a non-blocking fd; fails when there is none. */
int open_channel(const char *path_or_fd);
int open_named_port(const char *name);

/* listeners.c */
/* Makes the directory of the sockets, which nobody but its owner may enter; fails when others can. */
void make_directory(const char *prefix);
void answer_listen(struct forwarder *self, uint32_t port);
void answer_unlisten(struct forwarder *self, uint32_t port);
void accept_streams(struct forwarder *self);
struct listener *find_listener(struct forwarder *self, uint32_t port);

/* streams.c */
/* @returns false with errno when something that it needs is short; the fd is the caller's still. */
bool add_stream(struct forwarder *self, int fd, uint32_t port);
struct stream *find_stream(struct forwarder *self, uint32_t id);
void close_stream(struct forwarder *self, struct stream *stream);
void queue_stream(struct forwarder *self, struct stream *stream);
void take_data(struct forwarder *self, struct stream *stream, const uint8_t *data, size_t size);
void flush_stream(struct forwarder *self, struct stream *stream);
/* Puts one round of a stream's frames into the output, where ROOM_FOR_STREAM is free; may close the stream. */
void send_stream(struct forwarder *self, struct stream *stream);
struct stream *next_queued_stream(struct forwarder *self);

/* frames.c */
void handle_input(struct forwarder *self);

/* loop.c */
void start(struct forwarder *self);
/* Waits for events, at most timeout_ms (-1: for ever), and does what they allow. Fails when the channel breaks. */
void turn(struct forwarder *self, int timeout_ms);
/* @returns false with errno: ENOSPC when the user's watches are used up, ENOMEM. */
bool watch(struct forwarder *self, int fd, uint64_t tag, uint32_t events);
size_t output_room(const struct forwarder *self);
void put_frame(struct forwarder *self, enum frame_type type, uint32_t subject, const uint32_t *number);

/* What an epoll event is about: the kind above, a stream's or a port's number below. */
enum { WATCH_CHANNEL = 1, WATCH_LISTENER = 2, WATCH_STREAM = 3 };
#define WATCH_TAG(kind, number) ((uint64_t)(kind) << 32 | (number))

#endif
