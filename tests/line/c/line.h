/*
 * What the parts of checked-traffic share: two hosts, numbers and bytes that both ends can make from a seed, and how a
 * flow tells what came of it.
 */
#ifndef LINE_H
#define LINE_H

#define _GNU_SOURCE
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct host {
    int netns;
    const char *device;
    struct in_addr v4;
    struct in6_addr v6;
};

/* What was sent from one host to the other and what is known of it. Written by the flow's threads, read when they ended. */
struct tally {
    const char *name;
    atomic_ullong sent, seen;         /* bytes that left; bytes that came, or that nobody waits for any more */
    uint64_t packets, lost, merged;   /* datagrams; those that never came; those that came inside a larger one */
    uint64_t bytes;                   /* verified */
    atomic_ullong groups;             /* that are sent; known once it is `done` */
    atomic_bool done;                 /* nothing more is sent */
    char failure[256];
};

struct plan {
    const struct host *from, *to;
    bool six;     /* IPv6 */
    bool options; /* IPv4 options, or an IPv6 destination options header */
    uint16_t port;
    uint64_t seed, quota;      /* quota: bytes of a stream, groups of datagrams */
    const atomic_int *beside;  /* datagrams: ends also when this becomes 0 */
    uint32_t mtu;
    struct tally *tally;
};

/* Notes the first failure. */
void fail(struct tally *tally, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The calling thread's sockets are this host's from now on. */
void enter(const struct host *host);

/* A socket of the plan's family bound to the host's address, with the plan's options where `sending`. */
int bound_socket(const struct plan *plan, const struct host *host, int type, uint16_t port, bool sending);
socklen_t address_of(const struct plan *plan, const struct host *host, uint16_t port, struct sockaddr_storage *into);

/* Blocks until all that was sent has come, or nothing comes any more: something was lost. */
void wait_for_arrival(const struct tally *tally);

/* The same number for the same seed and place (splitmix64). */
static inline uint64_t number(uint64_t seed, uint64_t place)
{
    uint64_t z = seed + (place + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* From `least` to `most`, and as often of few as of many bits: sizes of every order of magnitude. */
uint32_t some_size(uint64_t random, uint32_t least, uint32_t most);

/* Bytes `position` and on of the endless text of a seed. */
void fill(uint64_t seed, uint64_t position, uint8_t *into, size_t size);
/* Where `bytes` differ from them; `size`: nowhere. */
size_t differs(uint64_t seed, uint64_t position, const uint8_t *bytes, size_t size);

/* Whether the group of datagrams `n` is to be sent; the first that is not ends the flow. */
bool goes_on(const struct plan *plan, uint64_t n);

/* Threads of one flow, each given a struct plan. */
void *stream_server(void *plan);
void *stream_client(void *plan);
void *datagram_sender(void *plan);
void *datagram_receiver(void *plan);
void *crafted_sender(void *plan);
void *crafted_receiver(void *plan);

/* Receivers of datagrams are counted here when they are ready, streams when they listen. */
extern atomic_int ready;
/* Streams whose bytes are not all there. */
extern atomic_int streaming;

#endif
