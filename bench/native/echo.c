// The floor of the request benchmarks: dials a Unix socket and sends back whatever comes, with no thought.
//   echo PATH
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return perror("echo: connect"), 1;
    static char buffer[256 * 1024];
    for (;;) {
        ssize_t length = read(fd, buffer, sizeof buffer);
        if (length <= 0) return length < 0;
        for (ssize_t done = 0; done < length;) {
            ssize_t written = write(fd, buffer + done, (size_t)(length - done));
            if (written < 0) return 1;
            done += written;
        }
    }
}
