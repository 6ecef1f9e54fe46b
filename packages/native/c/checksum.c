#include "checksum.h"

/* Wide registers where the processor has them; a sanitizer cannot look into the choice at load time. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx2", "default"), optimize("O3")))
#endif
static uint64_t sum_blocks(const uint8_t *bytes, size_t blocks)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < blocks * 16; i++) {
        uint32_t word;
        memcpy(&word, bytes + i * 4, 4);
        sum += word;
    }
    return sum;
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
