// Tries every way to a socket of the family AF_VSOCK, and to an io_uring; prints a line each: NAME ERRNO.
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void tell(const char *name, long result) {
    printf("%s %s\n", name, result >= 0 ? "works" : strerrorname_np(errno));
}

#ifdef __x86_64__
static sigjmp_buf without_door;

static void no_door(int signal) {
    (void)signal;
    siglongjmp(without_door, 1);
}

// The 32-bit ABI needs no 32-bit program: this instruction is its door.
static long call_compat(long number, long first, long second, long third) {
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(first), "c"(second), "d"(third)
                     : "memory", "r8", "r9", "r10", "r11");
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

// Where the kernel does not open it, the instruction is a fault.
static void tell_compat(const char *name, long number, long first, long second) {
    if (sigsetjmp(without_door, 1) == 0) tell(name, call_compat(number, first, second, 0));
    else printf("%s absent\n", name);
}
#endif

int main(void) {
    int pair[2];
    char parameters[256] = {0};
    tell("unix", socket(AF_UNIX, SOCK_STREAM, 0));
    tell("inet", socket(AF_INET, SOCK_STREAM, 0));
    tell("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
    tell("vsock-wide", syscall(SYS_socket, 0x7f00000000L | AF_VSOCK, SOCK_DGRAM, 0));
    tell("vsock-pair", socketpair(AF_VSOCK, SOCK_STREAM, 0, pair));
    tell("io-uring", syscall(425, 1, parameters));
#ifdef __x86_64__
    unsigned *arguments = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    arguments[0] = AF_VSOCK;
    arguments[1] = SOCK_STREAM;
    arguments[2] = 0;
    tell("vsock-x32", syscall(0x40000000 + SYS_socket, AF_VSOCK, SOCK_STREAM, 0));
    signal(SIGSEGV, no_door);
    tell_compat("vsock-i386", 359, AF_VSOCK, SOCK_STREAM);
    tell_compat("vsock-socketcall", 102, 1, (long)arguments);
    tell_compat("vsock-socketcall-pair", 102, 8, (long)arguments);
    tell_compat("io-uring-i386", 425, 1, (long)arguments);
    tell_compat("unix-i386", 359, AF_UNIX, SOCK_STREAM);
#endif
    puts("end .");
    return 0;
}
