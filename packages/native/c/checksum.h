/*
 * The internet checksum (RFC 1071) as sums of 32-bit words in 64 bits. Sums of parts may be added when each part but
 * the last has an even length; words are taken as they lie in memory, so a folded sum is stored as it is.
 */
#ifndef SEIKAN_CHECKSUM_H
#define SEIKAN_CHECKSUM_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of any number of bytes below 2^32. */
uint64_t seikan_sum(const uint8_t *bytes, size_t length);

static inline uint16_t seikan_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* A number in host order as a sum takes it. */
static inline uint64_t seikan_sum16(uint32_t number)
{
    return htons((uint16_t)number);
}

/* The pseudo header's addresses and protocol, without the length. */
static inline uint64_t seikan_sum_pseudo4(const uint8_t *ip, uint8_t protocol)
{
    return seikan_sum(ip + 12, 8) + seikan_sum16(protocol);
}

static inline uint64_t seikan_sum_pseudo6(const uint8_t *ip, uint8_t protocol)
{
    return seikan_sum(ip + 8, 32) + seikan_sum16(protocol);
}

static inline uint16_t seikan_get16(const uint8_t *from)
{
    return (uint16_t)(from[0] << 8 | from[1]);
}

static inline uint32_t seikan_get32(const uint8_t *from)
{
    uint32_t number;
    memcpy(&number, from, 4);
    return ntohl(number);
}

static inline void seikan_put16(uint8_t *into, uint32_t number)
{
    into[0] = (uint8_t)(number >> 8);
    into[1] = (uint8_t)number;
}

static inline void seikan_put32(uint8_t *into, uint32_t number)
{
    number = htonl(number);
    memcpy(into, &number, 4);
}

#endif
