#ifndef FORWARDER_LISTENERS_H
#define FORWARDER_LISTENERS_H

#include "forwarder.h"

/* Makes the directory of the sockets, which nobody but its owner may enter; fails when others can. */
void make_directory(const char *prefix);
void answer_listen(struct forwarder *self, uint32_t port);
void answer_unlisten(struct forwarder *self, uint32_t port);
void accept_streams(struct forwarder *self);
/* Whether somebody may have dialled whom accept_streams() has not seen. */
bool dials_wait(const struct forwarder *self);
struct listener *find_listener(struct forwarder *self, uint32_t port);

#endif
