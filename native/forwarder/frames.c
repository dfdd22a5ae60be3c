/* What the host says. */
#include <string.h>
#include <sys/epoll.h>

#include "frames.h"
#include "listeners.h"
#include "report.h"
#include "streams.h"

static uint32_t only_number(enum frame_type type, const uint8_t *payload, size_t size) {
    if (size != 4) fail("the host sent a frame of type %d with %zu bytes instead of 4", (int)type, size);
    return get32(payload);
}

static void handle_hello(struct forwarder *self, uint32_t version, uint32_t window) {
    if (self->hello_received) fail("the host greeted twice");
    if (version != PROTOCOL_VERSION)
        fail(
            "the host speaks version %u of the forwarder's protocol, this guest %d; use an image and a host "
            "side of the same release",
            version, PROTOCOL_VERSION);
    if (window == 0 || window > MAX_WINDOW) fail("the host offers a window of %u bytes", window);
    self->hello_received = true;
    self->host_window = window;
}

static void handle_data(struct forwarder *self, struct stream *stream, const uint8_t *data, size_t size) {
    if (stream->host_ended || stream->host_closed || size == 0 || size > stream->receive_window)
        fail("the host sent %zu bytes on stream %u against its window of %u", size, stream->id,
             stream->host_ended ? 0 : stream->receive_window);
    take_data(self, stream, data, size);
}

static void handle_credit(struct forwarder *self, struct stream *stream, uint32_t bytes) {
    if (bytes > MAX_WINDOW - stream->send_window)
        fail("the host widens the window of stream %u by %u bytes, too far", stream->id, bytes);
    stream->send_window += bytes;
    queue_stream(self, stream);
}

static void handle_stream_frame(struct forwarder *self, enum frame_type type, uint32_t id, const uint8_t *payload,
                                size_t size) {
    struct stream *stream = find_stream(self, id);
    if (stream == NULL) return; /* crossed the RESET that ended it */
    switch (type) {
        case FRAME_DATA:
            handle_data(self, stream, payload, size);
            break;
        case FRAME_FIN:
            stream->host_ended = true;
            flush_stream(self, stream);
            break;
        case FRAME_RESET:
            if (only_number(type, payload, size) != 0) {
                close_stream(self, stream);
            } else {
                stream->host_closed = true;
                flush_stream(self, stream);
            }
            break;
        default:
            handle_credit(self, stream, only_number(type, payload, size));
            break;
    }
}

static void handle_frame(struct forwarder *self, uint16_t type, uint32_t subject, const uint8_t *payload, size_t size) {
    if (!self->hello_received && type != FRAME_HELLO)
        fail("the host's first frame has type %u instead of a greeting", type);
    switch (type) {
        case FRAME_HELLO:
            handle_hello(self, subject, only_number(type, payload, size));
            break;
        case FRAME_LISTEN:
            answer_listen(self, subject);
            break;
        case FRAME_UNLISTEN:
            answer_unlisten(self, subject);
            break;
        case FRAME_READY:
            self->ready = true;
            break;
        case FRAME_PING:
            self->ping_owed = true;
            self->ping_number = subject;
            break;
        case FRAME_BYE:
            if (!self->bye_sent) fail("the host said goodbye before the guest did");
            self->bye_answered = true;
            break;
        case FRAME_DATA:
        case FRAME_FIN:
        case FRAME_RESET:
        case FRAME_CREDIT:
            handle_stream_frame(self, type, subject, payload, size);
            break;
        default:
            fail("the host sent a frame of type %u, which only the guest may send or nobody", type);
    }
}

void handle_input(struct forwarder *self) {
    size_t at = 0;
    while (self->in_end - at >= HEADER_SIZE) {
        const uint8_t *header = self->in + at;
        size_t size = get16(header + 2);
        if (size > MAX_PAYLOAD) fail("the host sent a frame of %zu bytes; the limit is %d", size, MAX_PAYLOAD);
        if (self->in_end - at < HEADER_SIZE + size) break;
        handle_frame(self, get16(header), get32(header + 4), header + HEADER_SIZE, size);
        at += HEADER_SIZE + size;
    }
    memmove(self->in, self->in + at, self->in_end - at);
    self->in_end -= at;
}
