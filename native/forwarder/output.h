#ifndef FORWARDER_OUTPUT_H
#define FORWARDER_OUTPUT_H

#include "forwarder.h"

size_t output_room(const struct forwarder *self);
/* Where there is room. `number` is the payload of those frames that have one. */
void put_frame(struct forwarder *self, enum frame_type type, uint32_t subject, const uint32_t *number);

#endif
