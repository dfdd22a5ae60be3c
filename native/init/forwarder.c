// The vsock forwarder, started before anything dials the host. It is there for machines whose host offers a
// virtio-serial port of its name; on Hyper-V, and with a real vsock device, there is none.
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
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

void start_forwarder(void) {
    if (access(program, X_OK) < 0 || !has_entries("/sys/bus/virtio/drivers/virtio_console", "virtio")) return;
    if (!wait_for_device(port_exists, port_name, PORT_TIMEOUT_MS)) return;
    // With --daemon the parent ends once the host has named its ports: from then on dials find them.
    pid_t pid = launch((char *[]){(char *)program, "--daemon", NULL});
    if (pid < 0) fatal("fork");
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        say_on_console("init: the vsock forwarder failed; the host cannot be reached");
}
