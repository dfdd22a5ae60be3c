#ifndef FORWARDER_CHANNEL_H
#define FORWARDER_CHANNEL_H

/* @returns a non-blocking fd; fails when there is none. */
int open_channel(const char *path_or_fd);
int open_named_port(const char *name);

#endif
