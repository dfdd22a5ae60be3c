// stuck-writer [BEFORE]: writes the text to its standard output, then hangs in a write to it, with the kernel's lock on
// the pipe in hand: the page to be written comes from userfaultfd(2), and it comes only when standard input has
// something. It says "stuck" on standard error once it hangs, and after the write ends in order. Needs root.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096

static char *page;
static const char *before = "";

static void *writer(void *nothing) {
    if (*before && write(STDOUT_FILENO, before, strlen(before)) < 0) return "write";
    return write(STDOUT_FILENO, page, PAGE) == PAGE ? nothing : "write";
}

int main(int argc, char **argv) {
    if (argc > 1) before = argv[1];
    int fault = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    struct uffdio_api api = {.api = UFFD_API};
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register range = {.range = {(unsigned long)page, PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    pthread_t thread;
    if (fault < 0 || ioctl(fault, UFFDIO_API, &api) < 0 || ioctl(fault, UFFDIO_REGISTER, &range) < 0) {
        perror("userfaultfd");
        return 1;
    }
    if (pthread_create(&thread, NULL, writer, NULL) != 0) return 1;
    struct pollfd faulted = {.fd = fault, .events = POLLIN};
    while (poll(&faulted, 1, -1) != 1) continue;
    if (write(STDERR_FILENO, "stuck\n", 6) != 6) return 1;
    char byte;
    if (read(STDIN_FILENO, &byte, 1) < 0) return 1;
    struct uffdio_zeropage zero = {.range = {(unsigned long)page, PAGE}};
    void *failed = "zeropage";
    if (ioctl(fault, UFFDIO_ZEROPAGE, &zero) < 0 || pthread_join(thread, &failed) != 0 || failed) return 1;
    return 0;
}
