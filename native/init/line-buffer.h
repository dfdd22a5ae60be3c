// Log lines on their way to a host that may be slow, gone, or a new one. A line is dropped whole or sent
// whole, since the host parses each connection from its first byte as a sequence of lines.
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { LINE_BUFFER_BYTES = 1024 * 1024 };

struct line_buffer {
    size_t kept;  // start of the line that `sent` stands in, as far as it is still held
    size_t sent;  // bytes before this have been written to the connection
    size_t line;  // start of the last line, as far as it is still held
    size_t end;
    bool unfinished;             // the last line lacks its end
    bool partial;                // `kept` is not the start of a line
    bool skipping;               // until the next newline arrives
    unsigned long long dropped;  // bytes, not yet told
    char data[LINE_BUFFER_BYTES];
};

// Takes all of it; what finds no room is dropped by the line, and a line that tells how much follows later.
void line_buffer_append(struct line_buffer *buffer, const char *data, size_t length);
// Adds the line that tells what was dropped, if there is anything to tell and room; append does so by itself.
void line_buffer_tell_dropped(struct line_buffer *buffer);
// What to send next; NULL and 0 when there is nothing.
const char *line_buffer_pending(const struct line_buffer *buffer, size_t *length);
void line_buffer_sent(struct line_buffer *buffer, size_t length);
// The connection is lost: the line that was only partly sent is to be sent again from its start.
void line_buffer_rewind(struct line_buffer *buffer);
bool line_buffer_has_room(const struct line_buffer *buffer);
