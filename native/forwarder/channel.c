/* Finds and opens the channel to the host. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "channel.h"
#include "report.h"

#define PORTS "/sys/class/virtio-ports"

static int set_flags(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        fail("cannot set up the channel's fd %d: %s", fd, strerror(errno));
    return fd;
}

int open_channel(const char *path_or_fd) {
    char *end;
    long number = strtol(path_or_fd, &end, 10);
    if (*path_or_fd != '\0' && *end == '\0') return set_flags((int)number);

    int fd = open(path_or_fd, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) return fd;
    if (errno != ENXIO) /* what open(2) says of a socket */
        fail("cannot open the channel %s: %s", path_or_fd, strerror(errno));

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path_or_fd) >= sizeof address.sun_path)
        fail("the channel's path %s is too long for a socket", path_or_fd);
    strcpy(address.sun_path, path_or_fd);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("cannot connect to the channel %s: %s", path_or_fd, strerror(errno));
    return set_flags(fd);
}

/* @returns whether the port's name (a line in sysfs) is `name`. */
static bool port_has_name(const char *port, const char *name) {
    char path[512], line[256];
    snprintf(path, sizeof path, PORTS "/%s/name", port);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false; /* a port without a name has no such file */
    ssize_t size = read(fd, line, sizeof line - 1);
    close(fd);
    if (size <= 0) return false;
    line[size] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, name) == 0;
}

int open_named_port(const char *name) {
    DIR *ports = opendir(PORTS);
    if (ports == NULL) fail("no virtio-serial ports here (%s: %s); is virtio_console loaded?", PORTS, strerror(errno));
    char device[300] = "";
    for (struct dirent *entry; device[0] == '\0' && (entry = readdir(ports)) != NULL;)
        if (entry->d_name[0] != '.' && port_has_name(entry->d_name, name))
            snprintf(device, sizeof device, "/dev/%s", entry->d_name);
    closedir(ports);
    if (device[0] == '\0') fail("no virtio-serial port is named %s", name);
    return open_channel(device);
}
