#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/loop.h>

bool attach_loop(const char *file, char *device, size_t size) {
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0) return false;
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    close(control);
    if (number < 0) return false;
    snprintf(device, size, "/dev/loop%d", number);
    int loop = open(device, O_RDWR | O_CLOEXEC);
    int backing = open(file, O_RDONLY | O_CLOEXEC);
    // Detaches itself when the file system on it is unmounted or never was mounted.
    struct loop_config config = {.fd = (unsigned)backing, .block_size = 4096, .info = {.lo_flags = LO_FLAGS_READ_ONLY}};
    bool done = loop >= 0 && backing >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) == 0;
    int error = errno;
    if (loop >= 0) close(loop);
    if (backing >= 0) close(backing);
    errno = error;
    return done;
}
