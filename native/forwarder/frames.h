#ifndef FORWARDER_FRAMES_H
#define FORWARDER_FRAMES_H

#include "forwarder.h"

void handle_input(struct forwarder *self);

#endif
