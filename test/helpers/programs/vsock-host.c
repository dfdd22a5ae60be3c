// vsock-host PORT: poses as the host of the machine that it runs in: listens on a vsock port, prints "listening", and
// says what the first to dial sends.
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = (unsigned)strtoul(argv[1], NULL, 0)};
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 9) < 0) {
        perror("vsock-host");
        return 1;
    }
    puts("listening");
    fflush(stdout);
    for (;;) {
        char text[4096];
        int guest = accept(fd, NULL, NULL);
        ssize_t size = guest < 0 ? -1 : read(guest, text, sizeof text);
        if (size > 0) printf("heard %zd bytes\n", size);
        fflush(stdout);
        if (guest >= 0) close(guest);
    }
}
