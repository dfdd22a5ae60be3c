// Connections to the host.
#pragma once

#include <stdbool.h>

// Names the way to the host: "forwarder:PREFIX" or "unix:PREFIX", where port P is the Unix socket PREFIX_P. Without it,
// AF_VSOCK.
#define TRANSPORT_VARIABLE "GCS_TRANSPORT"

// A connected, blocking stream socket (close-on-exec) to port `port` of the host, or -1 with errno: ETIMEDOUT when
// nobody has answered within timeout_ms; EHOSTUNREACH when what answered at the host's vsock address (CID 2) is this
// machine itself.
int dial_host(unsigned port, int timeout_ms);

// Starts to dial and returns at once: a non-blocking socket, connected when it polls writable without error
// (finish_dial tells), or -1 with errno.
int start_dial(unsigned port);
int finish_dial(int socket_fd);  // 0, or -1 with errno

// Takes a port's number: decimal digits and nothing else, at most 2^32 - 1. @returns false for anything else.
bool parse_port(const char *text, unsigned *port);

long long monotonic_ms(void);
