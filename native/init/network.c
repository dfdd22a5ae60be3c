#include "init.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// The kernel gives lo its addresses (127.0.0.1 and ::1) when it comes up.
void bring_loopback_up(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo"};
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
        log_message(LOG_WARNING, "no loopback interface: %s", strerror(errno));
    } else {
        request.ifr_flags |= IFF_UP | IFF_RUNNING;
        if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
            log_message(LOG_WARNING, "loopback does not come up: %s", strerror(errno));
    }
    if (fd >= 0) close(fd);
}
