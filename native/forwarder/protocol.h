/*
 * The wire between the forwarder in the guest and the host (src/hcs/transport/forwarder speaks the other end): many
 * streams over one byte channel, a virtio-serial port in a VM. All numbers are little endian.
 *
 * Frame: u16 type, u16 length of the payload, u32 subject; then the payload. A frame with its header is at most
 * 32 KiB, as much as Linux's virtio_console takes in one write.
 *
 *   type       sent by  subject  payload      meaning
 *   HELLO      both     version  u32 window   first frame each way; window: bytes of one stream that the sender
 *                                             takes before it must grant more
 *   LISTEN     host     port     -            listen on a port
 *   LISTEN     guest    port     u32 errno    the answer; 0: a dial succeeds from here on
 *   UNLISTEN   host     port     -            stop; streams that are open stay open
 *   UNLISTEN   guest    port     u32 errno    the answer; 0: a dial is refused from here on
 *   READY      host     0        -            all ports known from the start are asked for: let the guest run
 *   OPEN       guest    stream   u32 port     somebody in the guest has dialled; the guest chooses the number
 *   DATA       both     stream   1.. bytes    spends as much of the receiver's window
 *   FIN        both     stream   -            half-close: no more DATA from this side
 *   RESET      both     stream   u32 errno    the end both ways. 0 is close(2): what was sent is still delivered.
 *                                             Else an abort: what is not delivered yet is dropped.
 *   CREDIT     both     stream   u32 bytes    widens the window by what the receiver has passed on
 *   PING       host     number   -            is the guest alive?
 *   PING       guest    number   -            the answer, once for all PINGs that wait; the last one's number
 *   REFUSED    guest    port     u32 errno    somebody has dialled, and what a stream needs is short here: memory,
 *                                             descriptors, watches. That dial was closed.
 *   BYE      guest    0        -            the guest's machine ends and has said all: this is the last of it
 *   BYE      host     0        -            the answer: all that came before is here, and the machine may go off
 *
 * A stream ends when both sides have sent FIN, or one has sent RESET (which is not answered). A frame for a
 * stream that the receiver has forgotten is ignored: it crossed a RESET. Numbers come again only after a million
 * other streams. Each direction of each stream has its own window, so the receiver can always take what
 * arrives, and one that nobody reads stalls itself alone. A frame that breaks these rules ends the channel, and
 * the end of the channel resets every stream.
 *
 * A host that does not want a stream answers OPEN with RESET(ECONNREFUSED). It may cease to read while much of
 * what it sent waits; the guest always reads. DATA, FIN or CREDIT for a stream that never was is a breach, too.
 */
#ifndef FORWARDER_PROTOCOL_H
#define FORWARDER_PROTOCOL_H

#include <stdint.h>

enum frame_type {
    FRAME_HELLO = 1,
    FRAME_LISTEN = 2,
    FRAME_UNLISTEN = 3,
    FRAME_READY = 4,
    FRAME_OPEN = 5,
    FRAME_DATA = 6,
    FRAME_FIN = 7,
    FRAME_RESET = 8,
    FRAME_CREDIT = 9,
    FRAME_PING = 10,
    FRAME_REFUSED = 11,
    FRAME_BYE = 12,
};

enum {
    PROTOCOL_VERSION = 3,
    HEADER_SIZE = 2 + 2 + 4,
    MAX_PAYLOAD = 32 * 1024 - HEADER_SIZE,
    /* Bytes of one stream that wait here while its reader in the guest is slow. */
    GUEST_WINDOW = 128 * 1024,
};

/* No window grows beyond this: a peer that grants more has lost count. */
#define MAX_WINDOW 0x7fffffffu

static inline void put16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static inline void put32(uint8_t *at, uint32_t value) {
    put16(at, (uint16_t)value);
    put16(at + 2, (uint16_t)(value >> 16));
}

static inline uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }

static inline uint32_t get32(const uint8_t *at) { return (uint32_t)get16(at) | (uint32_t)get16(at + 2) << 16; }

#endif
