#include "line-buffer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NOTICE_BYTES = 256 };

static size_t room(const struct line_buffer *buffer) { return LINE_BUFFER_BYTES - buffer->end; }

static void discard_before(struct line_buffer *buffer, size_t position) {
    if (position == 0) return;
    memmove(buffer->data, buffer->data + position, buffer->end - position);
    buffer->end -= position;
    buffer->sent -= position;
    buffer->line = buffer->line > position ? buffer->line - position : 0;
    buffer->kept = 0;
}

static bool make_room(struct line_buffer *buffer, size_t length) {
    if (room(buffer) >= length) return true;
    discard_before(buffer, buffer->kept);
    if (room(buffer) >= length) return true;
    // A line longer than the buffer to a host that reads: give up the chance to send it again.
    if (buffer->sent > 0) {
        discard_before(buffer, buffer->sent);
        buffer->partial = true;
    }
    return room(buffer) >= length;
}

static void put(struct line_buffer *buffer, const char *data, size_t length) {
    memcpy(buffer->data + buffer->end, data, length);
    buffer->end += length;
    buffer->unfinished = data[length - 1] != '\n';
    if (!buffer->unfinished) buffer->line = buffer->end;
}

// Whether the host has the start of the unfinished line, be that held here still or given up.
static bool start_is_sent(const struct line_buffer *buffer) {
    return buffer->sent > buffer->line || (buffer->partial && buffer->line == 0);
}

// In the form of the agent's own log, which is what flows here.
void line_buffer_tell_dropped(struct line_buffer *buffer) {
    if (buffer->dropped == 0 || buffer->skipping || buffer->unfinished) return;
    char text[200], stamp[40];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    int length = snprintf(text, sizeof text,
                          "{\"time\":\"%s.%09ldZ\",\"level\":\"warning\",\"msg\":\"log lines dropped while the host "
                          "did not read\",\"bytes\":%llu}\n",
                          stamp, now.tv_nsec, buffer->dropped);
    if (!make_room(buffer, (size_t)length)) return;
    put(buffer, text, (size_t)length);
    buffer->dropped = 0;
}

static void drop(struct line_buffer *buffer, const char *piece, size_t length) {
    buffer->dropped += length;
    buffer->skipping = piece[length - 1] != '\n';
    if (!buffer->unfinished) return;
    if (!start_is_sent(buffer)) {  // nothing of the unfinished line is out: it never was
        buffer->dropped += buffer->end - buffer->line;
        buffer->end = buffer->line;
        buffer->unfinished = false;
    } else {  // the host has its start: end it there
        if (room(buffer) == 0) {
            buffer->end--;
            if (buffer->sent > buffer->end) buffer->sent = buffer->end;
        }
        put(buffer, "\n", 1);
    }
}

void line_buffer_append(struct line_buffer *buffer, const char *data, size_t length) {
    while (length > 0) {
        const char *newline = memchr(data, '\n', length);
        size_t piece = newline ? (size_t)(newline - data) + 1 : length;
        if (buffer->skipping) {
            buffer->dropped += piece;
            buffer->skipping = newline == NULL;
        } else {
            if (make_room(buffer, piece + NOTICE_BYTES)) line_buffer_tell_dropped(buffer);
            bool fits = make_room(buffer, piece + (buffer->dropped > 0 ? NOTICE_BYTES : 0));
            if (fits) put(buffer, data, piece);
            else drop(buffer, data, piece);
        }
        data += piece;
        length -= piece;
    }
}

const char *line_buffer_pending(const struct line_buffer *buffer, size_t *length) {
    *length = buffer->end - buffer->sent;
    return *length > 0 ? buffer->data + buffer->sent : NULL;
}

void line_buffer_sent(struct line_buffer *buffer, size_t length) {
    const char *from = buffer->data + buffer->sent;
    buffer->sent += length;
    const char *newline = memrchr(from, '\n', length);
    if (newline) {
        buffer->kept = (size_t)(newline - buffer->data) + 1;
        buffer->partial = false;
    }
    if (buffer->sent == buffer->end && buffer->kept == buffer->end)
        buffer->kept = buffer->sent = buffer->line = buffer->end = 0;
}

void line_buffer_rewind(struct line_buffer *buffer) {
    if (!buffer->partial) {
        buffer->sent = buffer->kept;
        return;
    }
    const char *newline = memchr(buffer->data + buffer->sent, '\n', buffer->end - buffer->sent);
    size_t next = newline ? (size_t)(newline - buffer->data) + 1 : buffer->end;
    buffer->dropped += next - buffer->sent;
    if (!newline) {
        buffer->skipping |= buffer->unfinished;
        buffer->unfinished = false;
        buffer->line = buffer->end;
    }
    buffer->sent = buffer->kept = next;
    buffer->partial = false;
}

bool line_buffer_has_room(const struct line_buffer *buffer) {
    // Not from `kept`: of a long line what is sent can be given up, and a host that reads it holds up nobody.
    return LINE_BUFFER_BYTES - (buffer->end - buffer->sent) > LINE_BUFFER_BYTES / 4;
}
