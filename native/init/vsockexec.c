// vsockexec [-r] [-i PORT] [-o PORT] [-e PORT] PROGRAM ARGUMENTS...
//   -i, -o, -e   the host's vsock port for stdin, stdout, stderr; the same port is one connection
//   -r           keep a relay in between, so that a host which is missing or goes away never reaches PROGRAM
// Without -r the program gets the sockets themselves, and a port that cannot be reached is an error.
#include "relay.h"
#include "vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIAL_MS = 2000 };  // what Linux gives a vsock; a Unix socket would wait for ever for room in the backlog

static int usage(void) {
    fputs("usage: vsockexec [-r] [-i PORT] [-o PORT] [-e PORT] [--] PROGRAM ARGUMENTS...\n", stderr);
    return 1;
}

static bool connect_stdio(const unsigned ports[3]) {
    int sockets[3] = {-1, -1, -1};
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < i && ports[i] != 0; j++)
            if (ports[j] == ports[i]) sockets[i] = sockets[j];
        if (ports[i] == 0 || sockets[i] >= 0) continue;
        sockets[i] = dial_host(ports[i], DIAL_MS);
        // Clear of 0 to 2, which a caller may have left closed and which are about to be replaced.
        int high = sockets[i] < 0 ? -1 : fcntl(sockets[i], F_DUPFD_CLOEXEC, 3);
        if (high < 0) {
            fprintf(stderr, "vsockexec: connect to host port %u: %s\n", ports[i], strerror(errno));
            return false;
        }
        close(sockets[i]);
        sockets[i] = high;
    }
    for (int i = 0; i < 3; i++) {
        if (sockets[i] >= 0 && dup2(sockets[i], i) < 0) {
            fprintf(stderr, "vsockexec: dup2: %s\n", strerror(errno));
            return false;
        }
    }
    return true;  // the high ones are close-on-exec
}

int main(int argc, char **argv) {
    unsigned ports[3] = {0};
    bool relay = false;
    for (int option; (option = getopt(argc, argv, "+i:o:e:r")) != -1;) {
        const char *names = "ioe", *name = strchr(names, option);
        if (option == 'r') {
            relay = true;
        } else if (name) {
            if (!parse_port(optarg, &ports[name - names])) {
                fprintf(stderr, "vsockexec: -%c %s is no port number\n", option, optarg);
                return usage();
            }
        } else {
            return usage();
        }
    }
    if (optind >= argc) {
        fputs("vsockexec: no program is named\n", stderr);
        return usage();
    }
    if (relay) return run_relay(ports, argv + optind);
    if (!connect_stdio(ports)) return 1;
    execvp(argv[optind], argv + optind);
    int error = errno;
    fprintf(stderr, "vsockexec: %s: %s\n", argv[optind], strerror(error));
    return error == ENOENT ? 127 : 126;
}
