// The forwarder between a host and programs in the guest, all of them played here over real sockets. While the host
// keeps to the protocol (protocol.h) the forwarder must not fail; whatever the host sends, what the forwarder says
// must keep to it, and bytes arrive as they were sent, in order.
#include "input.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../forwarder/forwarder.h"
#include "../forwarder/listeners.h"
#include "../forwarder/loop.h"
#include "../forwarder/report.h"
#include "../forwarder/streams.h"

enum { PORTS = 4, GUESTS = 8, STREAMS = 32, HOST_WINDOW = 40000 };

// The host's account of a stream.
struct account {
    bool used, over, guest_ended, host_ended;
    uint32_t id;
    int guest;        // known from the stream's first byte
    size_t received;  // bytes from the guest
    size_t sent;      // bytes to the guest
    size_t may_send;  // of the guest's window
    size_t may_come;  // of the host's
    size_t credited;
};

static struct guest {
    int fd;
    size_t written, read;
} guests[GUESTS];

static struct forwarder self;
static struct account accounts[STREAMS];
static int host;
static uint8_t heard[256 * 1024];
static size_t heard_end;
static unsigned asked[2], answered[2];  // LISTEN, UNLISTEN
static bool greeted, said_goodbye, honest, has_failed, ended;
static uint8_t bytes[MAX_PAYLOAD];
static char said[512];
static jmp_buf failed;
static char prefix[64];

void say(const char *format, ...) { (void)format; }

_Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(said, sizeof said, format, arguments);
    va_end(arguments);
    longjmp(failed, 1);
}

// The first byte tells whose it is.
static uint8_t guest_byte(int guest, size_t at) { return (uint8_t)(at == 0 ? guest : guest * 31 + (int)(at % 251)); }
static uint8_t host_byte(size_t at) { return (uint8_t)(at % 241 + 3); }

static struct account *find_account(uint32_t id) {
    for (int i = 0; i < STREAMS; i++)
        if (accounts[i].used && accounts[i].id == id) return &accounts[i];
    return NULL;
}

static struct account *new_account(uint32_t id) {
    struct account *at = find_account(id);
    HOLD(at == NULL || at->over, "stream %u is opened twice", id);
    for (int i = 0; at == NULL && i < STREAMS; i++)
        if (!accounts[i].used || accounts[i].over) at = &accounts[i];
    HOLD(at != NULL, "more streams than dials");
    *at = (struct account){.used = true, .id = id, .guest = -1, .may_send = GUEST_WINDOW, .may_come = HOST_WINDOW};
    return at;
}

static void take_bytes(struct account *stream, const uint8_t *data, size_t size) {
    HOLD(size > 0 && size <= stream->may_come, "%zu bytes against a window of %zu", size, stream->may_come);
    HOLD(!stream->guest_ended, "bytes after FIN");
    stream->may_come -= size;
    for (size_t i = 0; i < size; i++) {
        if (stream->received == 0) stream->guest = data[i];
        uint8_t wanted = guest_byte(stream->guest, stream->received++);
        HOLD(data[i] == wanted, "byte %zu of guest %d is %u", stream->received - 1, stream->guest, data[i]);
    }
}

static bool host_sends(unsigned type, uint32_t subject, const uint8_t *payload, size_t size);

static void take_frame(unsigned type, uint32_t subject, const uint8_t *payload, size_t size) {
    uint32_t number = size == 4 ? get32(payload) : 0;
    bool has_number = type == FRAME_HELLO || type == FRAME_LISTEN || type == FRAME_UNLISTEN || type == FRAME_OPEN ||
                      type == FRAME_RESET || type == FRAME_CREDIT || type == FRAME_REFUSED;
    HOLD(type == FRAME_DATA || size == (has_number ? 4 : 0), "a frame of type %u with %zu bytes", type, size);
    HOLD((type == FRAME_HELLO) != greeted, "a frame of type %u %s the greeting", type, greeted ? "after" : "before");
    greeted = true;
    struct account *stream = find_account(subject);
    switch (type) {
        case FRAME_HELLO:
            HOLD(subject == PROTOCOL_VERSION && number == GUEST_WINDOW, "a greeting of %u, %u", subject, number);
            return;
        case FRAME_LISTEN:
        case FRAME_UNLISTEN:
            HOLD(++answered[type - FRAME_LISTEN] <= asked[type - FRAME_LISTEN], "an answer to nothing");
            return;
        case FRAME_OPEN:
            new_account(subject);
            return;
        case FRAME_PING:
        case FRAME_REFUSED:
            return;
        case FRAME_BYE:
            HOLD(self.bye_sent && !said_goodbye, "a goodbye too many");
            said_goodbye = true;
            host_sends(FRAME_BYE, 0, NULL, 0);
            return;
    }
    HOLD(type >= FRAME_DATA && type <= FRAME_CREDIT, "a frame of type %u", type);
    HOLD(stream != NULL, "a frame of type %u for stream %u, which never was", type, subject);
    if (stream->over) return;  // it crossed the host's RESET
    switch (type) {
        case FRAME_DATA:
            take_bytes(stream, payload, size);
            return;
        case FRAME_FIN:
            HOLD(!stream->guest_ended, "two FINs");
            stream->guest_ended = true;
            if (stream->host_ended) stream->over = true;
            return;
        case FRAME_RESET:
            stream->over = true;
            return;
        case FRAME_CREDIT:
            stream->credited += number;
            if (honest) HOLD(stream->credited <= stream->sent, "%zu granted of %zu", stream->credited, stream->sent);
            stream->may_send += number;
    }
}

static void host_reads(size_t most) {
    if (most > sizeof heard - heard_end) most = sizeof heard - heard_end;
    ssize_t got = recv(host, heard + heard_end, most, MSG_DONTWAIT);
    if (got > 0) heard_end += (size_t)got;
    size_t at = 0;
    while (heard_end - at >= HEADER_SIZE) {
        size_t size = get16(heard + at + 2);
        HOLD(size <= MAX_PAYLOAD, "a frame of %zu bytes", size);
        if (heard_end - at < HEADER_SIZE + size) break;
        take_frame(get16(heard + at), get32(heard + at + 4), heard + at + HEADER_SIZE, size);
        at += HEADER_SIZE + size;
    }
    memmove(heard, heard + at, heard_end - at);
    heard_end -= at;
}

// @returns false when the forwarder takes no more now: then nothing of it is sent.
static bool host_sends(unsigned type, uint32_t subject, const uint8_t *payload, size_t size) {
    uint8_t header[HEADER_SIZE];
    put16(header, (uint16_t)type);
    put16(header + 2, (uint16_t)size);
    put32(header + 4, subject);
    struct iovec parts[] = {{header, sizeof header}, {(void *)payload, size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t put = sendmsg(host, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    HOLD(put < 0 || put == (ssize_t)(sizeof header + size), "the test's own socket took %zd bytes", put);
    return put >= 0;
}

static bool host_says(unsigned type, uint32_t subject, uint32_t number) {
    uint8_t payload[4];
    put32(payload, number);
    return host_sends(type, subject, payload, sizeof payload);
}

static void host_sends_data(struct account *stream, size_t size) {
    if (stream->over || stream->host_ended) return;
    if (size > stream->may_send) size = stream->may_send;
    if (size > MAX_PAYLOAD) size = MAX_PAYLOAD;
    if (size == 0) return;
    for (size_t i = 0; i < size; i++) bytes[i] = host_byte(stream->sent + i);
    if (!host_sends(FRAME_DATA, stream->id, bytes, size)) return;
    stream->sent += size;
    stream->may_send -= size;
}

static void host_keeps_to_it(struct input *input) {
    uint32_t port = take8(input) % PORTS;
    struct account *stream = &accounts[take8(input) % STREAMS];
    uint8_t what = take8(input) % 8;
    bool lives = stream->used && !stream->over;
    if (what == 0 && host_sends(FRAME_LISTEN, port, NULL, 0)) asked[0]++;
    if (what == 1 && host_sends(FRAME_UNLISTEN, port, NULL, 0)) asked[1]++;
    if (what == 2) host_sends(FRAME_READY, 0, NULL, 0);
    if (what == 3) host_sends(FRAME_PING, take32(input), NULL, 0);
    if (!lives) return;
    if (what == 4) host_sends_data(stream, take16(input) * 2);
    if (what == 5 && !stream->host_ended && host_sends(FRAME_FIN, stream->id, NULL, 0)) {
        stream->host_ended = true;
        if (stream->guest_ended) stream->over = true;
    }
    if (what == 6 && host_says(FRAME_RESET, stream->id, take8(input) % 2 == 0 ? 0 : ECONNRESET)) stream->over = true;
    if (what == 7 && stream->may_come < HOST_WINDOW / 2) {
        uint32_t credit = HOST_WINDOW - (uint32_t)stream->may_come;
        if (host_says(FRAME_CREDIT, stream->id, credit)) stream->may_come += credit;
    }
}

static void host_breaks_it(struct input *input) {
    honest = false;
    unsigned type = take8(input) % 14;
    uint32_t subject = take8(input) % 2 == 0 ? accounts[take8(input) % STREAMS].id : take32(input);
    uint8_t how = take8(input) % 4;
    memset(bytes, 0, sizeof bytes);
    if (how == 0) host_sends(type, subject, NULL, 0);
    if (how == 1) host_says(type, subject, take32(input));
    if (how == 2) host_sends(type, subject, bytes, take16(input) % sizeof bytes);
    if (how == 3) {
        uint8_t raw[24];
        for (size_t i = 0; i < sizeof raw; i++) raw[i] = take8(input);
        (void)!send(host, raw, take8(input) % sizeof raw, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    // Asked by accident, as it were.
    asked[0]++, asked[1]++;
    for (int i = 0; i < STREAMS; i++) accounts[i].sent += MAX_PAYLOAD, accounts[i].may_come += 1u << 31;
}

static void guest_dials(int number, uint32_t port) {
    struct guest *guest = &guests[number];
    if (guest->fd >= 0) return;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s_%u", prefix, port);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    HOLD(fd >= 0, "socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) *guest = (struct guest){.fd = fd};
    else close(fd);
}

static void guest_acts(struct input *input) {
    int number = take8(input) % GUESTS;
    struct guest *guest = &guests[number];
    uint8_t what = take8(input) % 6;
    size_t size = take16(input) % sizeof bytes;
    if (what == 0) guest_dials(number, take8(input) % PORTS);
    if (guest->fd < 0) return;
    if (what == 1 || what == 5) {
        for (size_t i = 0; i < size; i++) bytes[i] = guest_byte(number, guest->written + i);
        ssize_t put = send(guest->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put > 0) guest->written += (size_t)put;
    }
    if (what == 2) {
        ssize_t got = recv(guest->fd, bytes, size, MSG_DONTWAIT);
        for (ssize_t i = 0; honest && i < got; i++)
            HOLD(bytes[i] == host_byte(guest->read + (size_t)i), "byte %zu to guest %d", guest->read + (size_t)i,
                 number);
        if (got > 0) guest->read += (size_t)got;
    }
    if (what == 3) shutdown(guest->fd, SHUT_WR);
    if (what == 4) {
        close(guest->fd);
        guest->fd = -1;
    }
}

// @returns when it has failed, as main() would end, or the host has gone.
static void go(unsigned turns) {
    if (has_failed || ended) return;
    if (setjmp(failed) != 0) {
        HOLD(!honest, "it failed though the host kept to the protocol: %s", said);
        has_failed = true;
        return;
    }
    while (turns-- > 0 && !self.channel_ended) turn(&self, 0);
    HOLD(self.stream_count <= MAX_STREAMS && self.in_end <= IN_SIZE && self.out_end <= OUT_SIZE, "out of its bounds");
    ended = self.channel_ended;
}

static void begin(void) {
    static bool prepared;
    if (!prepared) {
        snprintf(prefix, sizeof prefix, "/dev/shm/fuzz-%d", getpid());
        char path[80];
        snprintf(path, sizeof path, "%s/port", prefix);
        make_directory(path);
        strcpy(prefix, path);
        prepared = true;
    }
    int ends[2];
    HOLD(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    memset(accounts, 0, sizeof accounts);
    memset(asked, 0, sizeof asked);
    memset(answered, 0, sizeof answered);
    for (int i = 0; i < GUESTS; i++) guests[i].fd = -1;
    heard_end = 0;
    greeted = said_goodbye = has_failed = ended = false;
    honest = true;
    host = ends[0];
    memset(&self, 0, sizeof self);
    self.prefix = prefix;
    self.channel = ends[1];
    self.spare_fd = -1;
    self.signals = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);  // no signal comes
    start(&self);
    host_says(FRAME_HELLO, PROTOCOL_VERSION, HOST_WINDOW);
}

static void finish(void) {
    for (int i = 0; i < MAX_STREAMS; i++)
        if (self.streams[i] != NULL) close_stream(&self, self.streams[i]);
    while (self.listeners != NULL) answer_unlisten(&self, self.listeners->port);
    for (struct reply *reply = self.first_reply, *next; reply != NULL; reply = next) {
        next = reply->next;
        free(reply);
    }
    close(self.epoll);
    close(self.signals);
    close(self.channel);
    close(host);
    for (int i = 0; i < GUESTS; i++)
        if (guests[i].fd >= 0) close(guests[i].fd);
}

// The guest's machine ends: what it has sent comes, then its goodbye, and nothing after.
static void say_goodbye(void) {
    for (int i = 0; i < GUESTS; i++) {
        if (guests[i].fd >= 0) close(guests[i].fd);
        guests[i].fd = -1;
    }
    for (int round = 0; round < 256 && !self.bye_answered; round++) {
        if (!self.bye_owed && !self.bye_sent && !dials_wait(&self) && all_is_put(&self, false)) self.bye_owed = true;
        go(4);
        host_reads(sizeof heard);
        for (int i = 0; i < STREAMS; i++) {
            struct account *at = &accounts[i];
            uint32_t credit = HOST_WINDOW - (uint32_t)at->may_come;
            if (at->used && !at->over && !at->guest_ended && credit > 0 && host_says(FRAME_CREDIT, at->id, credit))
                at->may_come += credit;
        }
    }
    HOLD(said_goodbye && self.bye_answered, "no goodbye, or its answer was lost");
    for (int i = 0; i < STREAMS; i++)
        HOLD(!accounts[i].used || accounts[i].over || accounts[i].guest_ended, "stream %u is left", accounts[i].id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    begin();
    while (input.left > 0 && !has_failed && !ended) {
        uint8_t what = take8(&input);
        if (what < 100) host_keeps_to_it(&input);
        else if (what < 210) guest_acts(&input);
        else if (what < 250) host_reads(what < 230 ? 64 : sizeof heard);
        else host_breaks_it(&input);
        go(what % 3);
    }
    // All that is owed comes, once the host reads.
    for (int round = 0; round < 64; round++) {
        go(4);
        host_reads(sizeof heard);
    }
    if (honest && !has_failed && !ended) say_goodbye();
    if (honest) {
        HOLD(!has_failed && !ended, "it ended");
        HOLD(asked[0] == answered[0] && asked[1] == answered[1], "%u and %u answers to %u and %u questions",
             answered[0], answered[1], asked[0], asked[1]);
    }
    finish();
    return 0;
}
