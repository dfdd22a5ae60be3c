#ifndef FORWARDER_STREAMS_H
#define FORWARDER_STREAMS_H

#include "forwarder.h"

/* @returns false with errno when something that it needs is short; the fd is the caller's still. */
bool add_stream(struct forwarder *self, int fd, uint32_t port);
struct stream *find_stream(struct forwarder *self, uint32_t id);
void close_stream(struct forwarder *self, struct stream *stream);
void queue_stream(struct forwarder *self, struct stream *stream);
void take_data(struct forwarder *self, struct stream *stream, const uint8_t *data, size_t size);
void flush_stream(struct forwarder *self, struct stream *stream);
/* Puts one round of a stream's frames into the output, where ROOM_FOR_STREAM is free; may close the stream. */
void send_stream(struct forwarder *self, struct stream *stream);
/*
 * Whether all that the guest sends is in the output. A writer that is `late` is not waited for: then what it has sent
 * so far is enough.
 */
bool all_is_put(const struct forwarder *self, bool late);
struct stream *next_queued_stream(struct forwarder *self);

#endif
