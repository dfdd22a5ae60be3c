/*
 * The forwarder's state; protocol.h tells what it speaks. One thread, one epoll, every fd non-blocking and CLOEXEC.
 *
 * Who calls whom, always downwards; each file's header has what those above it may call:
 *
 *   main      flags, readiness
 *   loop      what an event means; the channel's bytes in and out
 *   frames    what the host says
 *   listeners ports         channel   opens the channel
 *   streams   streams
 *   output    frames that wait for the channel         watch   epoll
 *   report    says and fails
 */
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
    int signals;  /* a signalfd: SIGTERM */
    int channel;
    bool channel_is_port; /* a virtio-serial port: the host's absence is no end of file before it first came */
    bool channel_readable, channel_writable, channel_ended;
    bool hello_received, ready;
    bool ping_owed;
    uint32_t ping_number;
    bool ending; /* SIGTERM has come */
    bool bye_owed, bye_sent, bye_answered;
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

#endif
