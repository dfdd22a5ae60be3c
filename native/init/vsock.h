// Connections to the host.
#pragma once

// A connected stream socket (close-on-exec) to vsock port `port` of the host (CID 2), or -1 with errno. With
// timeout_ms < 0 the kernel's own limit holds (2 s for vsock) and the socket is a blocking one; else the
// socket is non-blocking, and ETIMEDOUT tells that the time has passed.
int dial_host(unsigned port, int timeout_ms);

// Starts to dial and returns at once: a non-blocking socket, connected when it polls writable without error
// (finish_dial tells), or -1 with errno.
int start_dial(unsigned port);
int finish_dial(int socket_fd);  // 0, or -1 with errno

long long monotonic_ms(void);
