/* Streams: the table of them, and the bytes between each one's socket and the channel. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "streams.h"
#include "output.h"
#include "watch.h"

bool add_stream(struct forwarder *self, int fd, uint32_t port) {
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) return false;
    while (self->streams[self->next_slot] != NULL) self->next_slot = (self->next_slot + 1) % MAX_STREAMS;
    uint32_t slot = self->next_slot;
    *stream = (struct stream){
        .id = self->generations[slot] * MAX_STREAMS + slot,
        .port = port,
        .fd = fd,
        .writable = true,
        .open_owed = true,
        .send_window = self->host_window,
        .receive_window = GUEST_WINDOW,
    };
    if (!watch(self, fd, WATCH_TAG(WATCH_STREAM, stream->id), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
        int error = errno;
        free(stream);
        errno = error;
        return false;
    }
    self->streams[slot] = stream;
    self->stream_count++;
    queue_stream(self, stream);
    return true;
}

struct stream *find_stream(struct forwarder *self, uint32_t id) {
    struct stream *stream = self->streams[id % MAX_STREAMS];
    return stream != NULL && stream->id == id ? stream : NULL;
}

static void drop_pending(struct stream *stream) {
    free(stream->pending);
    stream->pending = NULL;
    stream->pending_start = stream->pending_end = 0;
}

void close_stream(struct forwarder *self, struct stream *stream) {
    uint32_t slot = stream->id % MAX_STREAMS;
    self->streams[slot] = NULL;
    self->generations[slot]++;
    /* The slot that was freed last comes last again, so that a number stays unused for long. */
    self->next_slot = (slot + 1) % MAX_STREAMS;
    self->stream_count--;
    for (struct stream **link = &self->first_queued; stream->queued && *link != NULL; link = &(*link)->next) {
        if (*link != stream) continue;
        *link = stream->next;
        if (self->last_queued == &stream->next) self->last_queued = link;
        break;
    }
    drop_pending(stream);
    close(stream->fd);
    free(stream);
}

static bool may_read(const struct stream *stream) {
    return stream->readable && stream->send_window > 0 && !stream->guest_ended && !stream->host_closed;
}

static bool owes_credit(const struct stream *stream) {
    return stream->credit_owed >= GUEST_WINDOW / 4 && !stream->host_ended;
}

void queue_stream(struct forwarder *self, struct stream *stream) {
    bool owes_reset = stream->broken != 0 && stream->guest_ended;
    if (stream->queued || !(stream->open_owed || may_read(stream) || owes_credit(stream) || owes_reset)) return;
    stream->queued = true;
    stream->next = NULL;
    *self->last_queued = stream;
    self->last_queued = &stream->next;
}

struct stream *next_queued_stream(struct forwarder *self) {
    struct stream *stream = self->first_queued;
    if (stream == NULL) return NULL;
    self->first_queued = stream->next;
    if (self->first_queued == NULL) self->last_queued = &self->first_queued;
    stream->queued = false;
    return stream;
}

bool all_is_put(const struct forwarder *self, bool late) {
    for (uint32_t slot = 0; slot < MAX_STREAMS; slot++) {
        const struct stream *stream = self->streams[slot];
        if (stream == NULL || stream->guest_ended || stream->host_closed) continue;
        if (!late || stream->readable || stream->open_owed) return false;
    }
    return true;
}

static void reset_stream(struct forwarder *self, struct stream *stream, uint32_t error) {
    put_frame(self, FRAME_RESET, stream->id, &error);
    close_stream(self, stream);
}

/* Reads once from the guest, straight into the output. @returns false when the stream is no more. */
static bool read_stream(struct forwarder *self, struct stream *stream) {
    uint8_t *frame = self->out + self->out_end;
    size_t size = output_room(self) - HEADER_SIZE;
    if (size > MAX_PAYLOAD) size = MAX_PAYLOAD;
    if (size > stream->send_window) size = stream->send_window;
    ssize_t got = recv(stream->fd, frame + HEADER_SIZE, size, 0);
    if (got > 0) {
        put16(frame, FRAME_DATA);
        put16(frame + 2, (uint16_t)got);
        put32(frame + 4, stream->id);
        self->out_end += HEADER_SIZE + (size_t)got;
        stream->send_window -= (uint32_t)got;
        return true;
    }
    if (got < 0 && errno == EINTR) return true;
    if (got < 0 && errno == EAGAIN) {
        stream->readable = false;
        return true;
    }
    if (got < 0 || stream->broken != 0) {
        reset_stream(self, stream, got < 0 ? (uint32_t)errno : stream->broken);
        return false;
    }
    stream->guest_ended = true;
    put_frame(self, FRAME_FIN, stream->id, NULL);
    if (!stream->host_ended || stream->pending != NULL) return true;
    close_stream(self, stream);
    return false;
}

void send_stream(struct forwarder *self, struct stream *stream) {
    if (stream->open_owed) {
        put_frame(self, FRAME_OPEN, stream->id, &stream->port);
        stream->open_owed = false;
    }
    if (owes_credit(stream)) {
        put_frame(self, FRAME_CREDIT, stream->id, &stream->credit_owed);
        stream->receive_window += stream->credit_owed;
        stream->credit_owed = 0;
    }
    if (stream->broken != 0 && stream->guest_ended) {
        reset_stream(self, stream, stream->broken);
        return;
    }
    if (may_read(stream) && !read_stream(self, stream)) return;
    queue_stream(self, stream);
}

/* The guest takes no more: what it has written before is still carried, then the stream is reset. */
static void break_stream(struct stream *stream, int error) {
    stream->broken = (uint32_t)error;
    stream->credit_owed += (uint32_t)(stream->pending_end - stream->pending_start);
    drop_pending(stream);
}

/* @returns how much the guest took, less than `size` when its buffer is full or the stream broke. */
static size_t write_stream(struct stream *stream, const uint8_t *data, size_t size) {
    size_t done = 0;
    while (done < size && stream->writable) {
        ssize_t put = send(stream->fd, data + done, size - done, MSG_NOSIGNAL);
        if (put >= 0) {
            done += (size_t)put;
        } else if (errno == EAGAIN) {
            stream->writable = false;
        } else if (errno != EINTR) {
            break_stream(stream, errno);
            break;
        }
    }
    stream->credit_owed += (uint32_t)done;
    return done;
}

static void keep_pending(struct stream *stream, const uint8_t *data, size_t size) {
    if (stream->pending == NULL && (stream->pending = malloc(GUEST_WINDOW)) == NULL) {
        /* Bytes are lost: the stream is reset at once, both ways. */
        stream->broken = ENOMEM;
        stream->guest_ended = true;
        return;
    }
    if (stream->pending_end + size > GUEST_WINDOW) {
        memmove(stream->pending, stream->pending + stream->pending_start, stream->pending_end - stream->pending_start);
        stream->pending_end -= stream->pending_start;
        stream->pending_start = 0;
    }
    /* Fits: the window bounds what waits. */
    memcpy(stream->pending + stream->pending_end, data, size);
    stream->pending_end += size;
}

void take_data(struct forwarder *self, struct stream *stream, const uint8_t *data, size_t size) {
    stream->receive_window -= (uint32_t)size;
    size_t done = stream->pending == NULL && stream->broken == 0 ? write_stream(stream, data, size) : 0;
    if (stream->broken != 0) stream->credit_owed += (uint32_t)(size - done);
    else if (done < size) keep_pending(stream, data + done, size - done);
    queue_stream(self, stream);
}

void flush_stream(struct forwarder *self, struct stream *stream) {
    if (stream->pending != NULL) {
        stream->pending_start +=
            write_stream(stream, stream->pending + stream->pending_start, stream->pending_end - stream->pending_start);
        if (stream->pending != NULL && stream->pending_start == stream->pending_end) drop_pending(stream);
    }
    if (stream->pending == NULL && (stream->host_closed || (stream->host_ended && stream->guest_ended))) {
        if (stream->host_closed || stream->broken == 0) {
            close_stream(self, stream);
            return;
        }
    } else if (stream->pending == NULL && stream->host_ended && stream->broken == 0) {
        /* Again at each later event: shutdown(2) of what is shut down does nothing, ENOTCONN means it is gone. */
        shutdown(stream->fd, SHUT_WR);
    }
    queue_stream(self, stream);
}
