// A fault on purpose, for the test of the runner.
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char room[4];
    for (size_t i = 0; i < size && data[i] == 'x'; i++) *(volatile char *)(room + i) = 'x';
    return 0;
}
