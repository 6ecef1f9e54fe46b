#include "checksum.h"

typedef uint64_t words __attribute__((vector_size(32)));

/* Wide registers where the processor has them; a sanitizer cannot look into the choice at load time. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx2", "default")))
#endif
static uint64_t sum_blocks(const uint8_t *bytes, size_t blocks)
{
    /* The low and the high words of each 64 bits, four at a time: cheaper than to widen each word. */
    const words low = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX };
    words a = { 0 }, b = { 0 };
    for (; blocks > 0; blocks--, bytes += 64) {
        words first, second;
        memcpy(&first, bytes, sizeof first);
        memcpy(&second, bytes + sizeof first, sizeof second);
        a += (first & low) + (first >> 32);
        b += (second & low) + (second >> 32);
    }
    a += b;
    return a[0] + a[1] + a[2] + a[3];
}

uint64_t seikan_sum(const uint8_t *bytes, size_t length)
{
    uint64_t sum = length >= 64 ? sum_blocks(bytes, length / 64) : 0;
    bytes += length & ~(size_t)63;
    length &= 63;
    for (; length >= 4; bytes += 4, length -= 4) {
        uint32_t word;
        memcpy(&word, bytes, 4);
        sum += word;
    }
    if (length & 2) {
        uint16_t half;
        memcpy(&half, bytes, 2);
        sum += half;
        bytes += 2;
    }
    if (length & 1) {
        uint8_t last[2] = { bytes[0], 0 };
        uint16_t half;
        memcpy(&half, last, 2);
        sum += half;
    }
    return sum;
}
