// Makes a mapping of COUNT GiB this process's command line, which takes no capability, and sleeps.
#include <errno.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int count, char **arguments) {
    size_t size = (count > 1 ? strtoul(arguments[1], NULL, 10) : 1) << 30;
    char *text = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (text == MAP_FAILED) return perror("mmap"), 1;
    memset(text, 'a', 8192);
    unsigned long here = (unsigned long)&main & ~4095UL, data = (unsigned long)text;
    struct prctl_mm_map map = {
        .start_code = here,
        .end_code = here + 4096,
        .start_data = here,
        .end_data = here + 4096,
        .start_brk = here + 8192,
        .brk = here + 8192,
        .start_stack = (unsigned long)&size,
        .arg_start = data,
        .arg_end = data + size,
        .env_start = data,
        .env_end = data,
        .exe_fd = (unsigned)-1,
    };
    if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) < 0) return perror("prctl(PR_SET_MM_MAP)"), 1;
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
