#include "output.h"

size_t output_room(const struct forwarder *self) { return OUT_SIZE - self->out_end; }

void put_frame(struct forwarder *self, enum frame_type type, uint32_t subject, const uint32_t *number) {
    uint8_t *at = self->out + self->out_end;
    put16(at, (uint16_t)type);
    put16(at + 2, number != NULL ? 4 : 0);
    put32(at + 4, subject);
    if (number != NULL) put32(at + HEADER_SIZE, *number);
    self->out_end += HEADER_SIZE + (number != NULL ? 4 : 0);
}
