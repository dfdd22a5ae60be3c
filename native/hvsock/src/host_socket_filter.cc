#include "host_socket_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace hvsock {
namespace {

// System calls of the machine's own ABI and of the 32-bit one that its kernel may run beside it:
// arch/x86/entry/syscalls, include/uapi/asm-generic/unistd.h and arch/arm/tools/syscall.tbl of Linux. io_uring's have
// the same numbers everywhere.
#if defined(__x86_64__)
constexpr uint32_t kNativeArchitecture = AUDIT_ARCH_X86_64;
constexpr uint32_t kNativeSocket = 41;
constexpr uint32_t kNativeSocketPair = 53;
constexpr uint32_t kCompatArchitecture = AUDIT_ARCH_I386;
constexpr uint32_t kCompatSocket = 359;
constexpr uint32_t kCompatSocketPair = 360;
#elif defined(__aarch64__)
constexpr uint32_t kNativeArchitecture = AUDIT_ARCH_AARCH64;
constexpr uint32_t kNativeSocket = 198;
constexpr uint32_t kNativeSocketPair = 199;
constexpr uint32_t kCompatArchitecture = AUDIT_ARCH_ARM;
constexpr uint32_t kCompatSocket = 281;
constexpr uint32_t kCompatSocketPair = 288;
#else
#error "the host socket filter knows x86-64 and ARM64"
#endif

// The old way of 32-bit programs into all socket calls, socketcall(CALL, ARGUMENTS). A filter cannot see the family
// behind the pointer, so nothing makes a socket this way; 102 is getuid on x86-64, hence only for the 32-bit ABI.
constexpr uint32_t kSocketCall = 102;
constexpr uint32_t kSocketCallSocket = 1;
constexpr uint32_t kSocketCallSocketPair = 8;

constexpr uint32_t kIoUringSetup = 425;
// x32 programs mark their calls so; their numbers are x86-64's otherwise.
constexpr uint32_t kX32Bit = 0x40000000;

constexpr uint32_t Refuse(int error) { return SECCOMP_RET_ERRNO | static_cast<uint32_t>(error); }

// The kernel takes a family as int: the upper half of the register means nothing, and must not hide the lower.
constexpr uint32_t kFirstArgument = offsetof(seccomp_data, args[0]);
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lower half of an argument comes first");

constexpr sock_filter Load(uint32_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }
constexpr sock_filter Return(uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }
// Jumps are counted from the next instruction.
constexpr sock_filter JumpIfEqual(uint32_t value, uint8_t then, uint8_t otherwise) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise);
}

const sock_filter kProgram[] = {
    /*  0 */ Load(offsetof(seccomp_data, arch)),
    /*  1 */ JumpIfEqual(kNativeArchitecture, 1, 0),
    /*  2 */ JumpIfEqual(kCompatArchitecture, 5, 16),
    // Native:
    /*  3 */ Load(offsetof(seccomp_data, nr)),
    /*  4 */ BPF_STMT(BPF_ALU | BPF_AND | BPF_K, static_cast<uint32_t>(~kX32Bit)),
    /*  5 */ JumpIfEqual(kNativeSocket, 10, 0),
    /*  6 */ JumpIfEqual(kNativeSocketPair, 9, 0),
    /*  7 */ JumpIfEqual(kIoUringSetup, 11, 12),
    // 32-bit:
    /*  8 */ Load(offsetof(seccomp_data, nr)),
    /*  9 */ JumpIfEqual(kCompatSocket, 6, 0),
    /* 10 */ JumpIfEqual(kCompatSocketPair, 5, 0),
    /* 11 */ JumpIfEqual(kIoUringSetup, 7, 0),
    /* 12 */ JumpIfEqual(kSocketCall, 0, 7),
    /* 13 */ Load(kFirstArgument),
    /* 14 */ JumpIfEqual(kSocketCallSocket, 3, 0),
    /* 15 */ JumpIfEqual(kSocketCallSocketPair, 2, 4),
    // What family?
    /* 16 */ Load(kFirstArgument),
    /* 17 */ JumpIfEqual(AF_VSOCK, 0, 2),
    /* 18 */ Return(Refuse(EAFNOSUPPORT)),
    // An ABI that this filter does not know, or io_uring.
    /* 19 */ Return(Refuse(ENOSYS)),
    /* 20 */ Return(SECCOMP_RET_ALLOW),
};

}  // namespace

int InstallHostSocketFilter() {
  sock_fprog program = {};
  program.len = sizeof kProgram / sizeof *kProgram;
  program.filter = const_cast<sock_filter*>(kProgram);
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

}  // namespace hvsock
