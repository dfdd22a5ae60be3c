#ifndef FORWARDER_WATCH_H
#define FORWARDER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "forwarder.h"

/* What an epoll event is about: the kind above, a stream's or a port's number below. */
enum { WATCH_CHANNEL = 1, WATCH_LISTENER = 2, WATCH_STREAM = 3, WATCH_SIGNALS = 4 };
#define WATCH_TAG(kind, number) ((uint64_t)(kind) << 32 | (number))

/* @returns false with errno: ENOSPC when the user's watches are used up, ENOMEM. */
bool watch(struct forwarder *self, int fd, uint64_t tag, uint32_t events);

#endif
