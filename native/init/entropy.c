#include "init.h"
#include "vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/random.h>

enum { DEADLINE_MS = 2000, MOST_BYTES = 4096 };

// The host sends 512 bytes and closes. It runs the VM, so what it sends is credited in full.
void seed_entropy(unsigned port) {
    long long deadline = monotonic_ms() + DEADLINE_MS;
    int host = dial_host(port, DEADLINE_MS);
    if (host < 0 || fcntl(host, F_SETFL, O_NONBLOCK) < 0) {
        log_message(LOG_WARNING, "no entropy from the host: vsock port %u: %s", port, strerror(errno));
        if (host >= 0) close(host);
        return;
    }
    struct {
        int bits, bytes;
        unsigned char data[MOST_BYTES];
    } seed = {0};
    for (;;) {
        ssize_t count = read(host, seed.data + seed.bytes, sizeof seed.data - (size_t)seed.bytes);
        if (count > 0) {
            seed.bytes += (int)count;
        } else if (count == 0) {
            break;  // the host is done, or the buffer is full
        } else if (errno == EAGAIN) {
            long long left = deadline - monotonic_ms();
            struct pollfd wait = {.fd = host, .events = POLLIN};
            if (left <= 0 || poll(&wait, 1, (int)left) == 0) break;
        } else if (errno != EINTR) {
            break;
        }
    }
    close(host);
    seed.bits = seed.bytes * 8;
    int random = open("/dev/random", O_RDWR | O_CLOEXEC);
    if (random < 0 || (seed.bytes > 0 && ioctl(random, RNDADDENTROPY, &seed) < 0))
        log_message(LOG_WARNING, "the kernel does not take the host's entropy: %s", strerror(errno));
    else log_message(LOG_INFO, "%d bytes of entropy from the host", seed.bytes);
    if (random >= 0) close(random);
    explicit_bzero(&seed, sizeof seed);
}
