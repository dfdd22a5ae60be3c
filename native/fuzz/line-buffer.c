// Log lines on their way to a host that reads slowly, or not, or is another one: whatever the order of events, each
// connection is a sequence of lines, each whole or cut once, in order and none twice; while there is room, all of them.
#include "input.h"

#include <string.h>

#include "../init/line-buffer.h"

static struct line_buffer buffer;
static char piece[LINE_BUFFER_BYTES + 4096];
// What the host has of its current connection: the line that is not ended yet.
static char line[2 * LINE_BUFFER_BYTES];
static size_t line_length;
static long last_here, last_whole;
static unsigned long appended, whole_lines, notices;
static bool reconnected;

static void take_line(void) {
    line[line_length] = '\0';
    if (strncmp(line, "{\"time\":\"", 9) == 0) {
        char *end;
        char *number = strstr(line, "\"bytes\":");
        HOLD(number && strtoull(number + 8, &end, 10) > 0 && strcmp(end, "}") == 0, "a notice is %s", line);
        notices++;
        return;
    }
    long number = 0;
    size_t wanted = 0, head = 0;
    for (; head < line_length && line[head] >= '0' && line[head] <= '9'; head++)
        number = number * 10 + line[head] - '0';
    if (head == line_length) return;  // cut within its number
    HOLD(line[head++] == ':' && head > 1, "a line begins with %.40s", line);
    for (; head < line_length && line[head] >= '0' && line[head] <= '9'; head++)
        wanted = wanted * 10 + (size_t)(line[head] - '0');
    if (head == line_length) return;
    HOLD(line[head++] == ':', "a line begins with %.40s", line);
    HOLD(line_length - head <= wanted, "line %ld has %zu bytes, not %zu", number, line_length - head, wanted);
    for (size_t at = head; at < line_length; at++)
        HOLD(line[at] == 'x', "line %ld has other bytes in it: %.60s", number, line + at);
    HOLD(number > last_here, "line %ld follows line %ld", number, last_here);
    last_here = number;
    if (line_length - head == wanted) whole_lines++, last_whole = number;
}

static void host_reads(size_t most) {
    size_t length;
    const char *data = line_buffer_pending(&buffer, &length);
    HOLD((data == NULL) == (length == 0), "%zu bytes at nowhere", length);
    if (length > most) length = most;
    if (length == 0) return;
    for (size_t i = 0; i < length; i++) {
        if (data[i] == '\n') {
            take_line();
            line_length = 0;
        } else {
            HOLD(line_length < sizeof line - 1, "a line without end");
            line[line_length++] = data[i];
        }
    }
    line_buffer_sent(&buffer, length);
}

static void append(size_t size) {
    int head = snprintf(piece, 64, "%lu:%zu:", ++appended, size);
    memset(piece + head, 'x', size);
    piece[(size_t)head + size] = '\n';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    memset(&buffer, 0, offsetof(struct line_buffer, data));
    line_length = 0;
    last_here = last_whole = 0;
    appended = whole_lines = notices = 0;
    reconnected = false;
    size_t piece_length = 0, piece_done = 0;
    while (input.left > 0) {
        uint8_t what = take8(&input);
        size_t amount = take16(&input);
        if (what % 2 == 1) amount *= 40;
        switch (what / 2 % 6) {
            case 0:
            case 1:  // a line, or the next part of one
                if (piece_done == piece_length) {
                    size_t length = amount < LINE_BUFFER_BYTES ? amount : LINE_BUFFER_BYTES;
                    append(length);
                    piece_done = 0;
                    piece_length = strlen(piece) < sizeof piece ? (size_t)(strchr(piece, '\n') - piece) + 1 : 0;
                }
                if (what & 64) amount = piece_length;
                if (amount > piece_length - piece_done) amount = piece_length - piece_done;
                line_buffer_append(&buffer, piece + piece_done, amount);
                piece_done += amount;
                break;
            case 2:
            case 3:
                host_reads(amount);
                break;
            case 4:
                line_buffer_tell_dropped(&buffer);
                break;
            default:
                if (what < 200) break;
                line_buffer_rewind(&buffer);
                line_length = 0;
                last_here = 0;
                reconnected = true;
        }
        HOLD(buffer.kept <= buffer.sent && buffer.sent <= buffer.end && buffer.line <= buffer.end &&
                 buffer.end <= LINE_BUFFER_BYTES,
             "%zu, %zu, %zu, %zu", buffer.kept, buffer.sent, buffer.line, buffer.end);
    }
    line_buffer_append(&buffer, piece + piece_done, piece_length - piece_done);
    host_reads(LINE_BUFFER_BYTES);
    line_buffer_tell_dropped(&buffer);
    host_reads(LINE_BUFFER_BYTES);
    if (notices == 0 && buffer.dropped == 0 && !reconnected)
        HOLD(whole_lines == appended, "%lu lines of %lu arrived, and nobody was told", whole_lines, appended);
    return 0;
}
