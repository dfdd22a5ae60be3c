// The vsock forwarder, started before anything dials the host. It is there for machines whose host offers a
// virtio-serial port of its name; on Hyper-V, and with a real vsock device, there is none.
#include "init.h"
#include "vsock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char program[] = "/bin/vsock-forwarder";
static const char ports[] = "/sys/class/virtio-ports";
static const char port_name[] = "lcow.vsock";

// A port's name follows the port: the driver learns both from the host, one after the other.
enum { PORT_TIMEOUT_MS = 2000 };

static bool has_entries(const char *directory, const char *prefix) {
    DIR *entries = opendir(directory);
    if (!entries) return false;
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(entries));)
        found = strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(entries);
    return found;
}

static bool port_exists(const char *name) {
    DIR *entries = opendir(ports);
    if (!entries) return false;
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        char path[512], line[64] = "";
        snprintf(path, sizeof path, "%s/%s/name", ports, entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file) continue;
        if (fgets(line, sizeof line, file)) line[strcspn(line, "\n")] = '\0';
        fclose(file);
        found = strcmp(line, name) == 0;
    }
    closedir(entries);
    return found;
}

// Until the host has named its ports; the forwarder's own deadline is shorter.
enum { READY_TIMEOUT_MS = 30000 };

static bool becomes_ready(int ready) {
    struct pollfd wait = {.fd = ready, .events = POLLIN};
    long long deadline = monotonic_ms() + READY_TIMEOUT_MS;
    int count;
    do {
        long long left = deadline - monotonic_ms();
        count = poll(&wait, 1, left > 0 ? (int)left : 0);
    } while (count < 0 && errno == EINTR);
    char byte;
    return count > 0 && read(ready, &byte, 1) == 1;
}

pid_t start_forwarder(void) {
    // The kernel makes unknown NAME=VALUE words of its command line our environment.
    unsetenv(TRANSPORT_VARIABLE);
    if (access(program, X_OK) < 0 || !has_entries("/sys/bus/virtio/drivers/virtio_console", "virtio")) return 0;
    if (!wait_for_device(port_exists, port_name, PORT_TIMEOUT_MS)) return 0;
    int ready[2];
    if (pipe(ready) < 0) fatal("pipe");
    fcntl(ready[0], F_SETFD, FD_CLOEXEC);
    char number[16];
    snprintf(number, sizeof number, "%d", ready[1]);
    pid_t pid = launch((char *[]){(char *)program, "--ready-fd", number, NULL});
    if (pid < 0) fatal("fork");
    shut_down_last(pid);
    close(ready[1]);
    bool is_ready = becomes_ready(ready[0]);
    close(ready[0]);
    if (!is_ready) {
        say_on_console("init: the vsock forwarder failed; the host cannot be reached");
        shut_down();
    }
    setenv(TRANSPORT_VARIABLE, "forwarder:/run/vsock/host", 1);
    return pid;
}
