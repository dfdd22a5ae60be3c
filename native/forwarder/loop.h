#ifndef FORWARDER_LOOP_H
#define FORWARDER_LOOP_H

#include "forwarder.h"

void start(struct forwarder *self);
/* Waits for events, at most timeout_ms (-1: for ever), and does what they allow. Fails when the channel breaks. */
void turn(struct forwarder *self, int timeout_ms);

#endif
