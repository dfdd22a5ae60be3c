// What a fuzzer has to go by: the bytes of its input, as numbers and pieces. Where they end all is 0.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct input {
    const uint8_t *data;
    size_t left;
};

static inline uint8_t take8(struct input *input) {
    if (input->left == 0) return 0;
    input->left--;
    return *input->data++;
}

static inline uint32_t take16(struct input *input) {
    uint32_t low = take8(input);
    return low | (uint32_t)take8(input) << 8;
}

static inline uint32_t take32(struct input *input) {
    uint32_t low = take16(input);
    return low | take16(input) << 16;
}

// A finding: libFuzzer keeps the input of what aborts.
#define HOLD(condition, ...)              \
    do {                                  \
        if (!(condition)) {               \
            fprintf(stderr, "fuzz: ");    \
            fprintf(stderr, __VA_ARGS__); \
            fprintf(stderr, "\n");        \
            abort();                      \
        }                                 \
    } while (0)
