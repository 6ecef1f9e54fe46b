/*
 * Packets on their way into a tun, merged: consecutive segments of one TCP connection or UDP flow become a superpacket
 * (struct virtio_net_hdr) of one write. The rules are those of the kernel's own receive offload (net/ipv4/tcp_offload.c,
 * tcp_gro_receive; net/ipv4/udp_offload.c), so that cutting the superpacket again gives the same packets:
 *
 *   same addresses, ports, TTL, TOS or flow label, DF; no IPv4 options, IPv6 extension headers or fragments; lengths
 *   that agree; IP ids that count up by one, or with DF that are all the same; right checksums, since the kernel does
 *   not check a superpacket's; payloads of equal size, the last one shorter or equal; 64 KiB in all
 *   TCP: sequence numbers that follow, same acknowledgement, window and options; ACK and perhaps ECE, PSH or FIN only on the last
 *   UDP: a checksum, no more than 64 datagrams
 *
 * The order within a flow is kept: what cannot be merged goes after what waits of its flow, and of every flow when its
 * ports cannot be seen.
 */
#ifndef SEIKAN_COALESCE_H
#define SEIKAN_COALESCE_H

#include "packet-table.h"

#include <linux/virtio_net.h>
#include <string.h>
#include <sys/uio.h>

#define SEIKAN_FLOWS 16
/* Packets of one superpacket; 64 KiB of the smallest usual MSS, 536. */
#define SEIKAN_MERGE_TCP 122
#define SEIKAN_MERGE_UDP 64

struct seikan_flow {
    uint8_t *first;                           /* the first packet; its header becomes the superpacket's */
    uint32_t count;
    uint32_t length, header_size, transport;  /* of the first packet */
    uint32_t payload;                         /* of all */
    uint32_t sequence;                        /* what the next one must have */
    bool tcp, six, closed, fixed_id, verified;
    uint8_t flags;                            /* PSH and FIN of the last */
    uint32_t numbers[SEIKAN_MERGE_TCP];       /* in the table */
    struct iovec parts[SEIKAN_MERGE_TCP + 1]; /* the virtio header, the first packet, the other payloads */
};

struct seikan_coalescer {
    int fd;
    bool header, tcp, udp; /* the device wants virtio headers; what may be merged */
    const struct seikan_table *table;
    uint32_t writes, merged, refused, accepted;
    int error;   /* the last refusal's errno */
    bool broken; /* the device is gone */
    uint32_t oldest;
    uint64_t hashes[SEIKAN_FLOWS]; /* 0: free */
    struct seikan_flow flows[SEIKAN_FLOWS];
};

/* Nothing waits and nothing is counted yet; what is left as it is, is large. */
static inline void seikan_coalesce_begin(struct seikan_coalescer *to, int fd, const struct seikan_table *table)
{
    to->fd = fd;
    to->table = table;
    to->writes = to->merged = to->refused = to->accepted = to->oldest = 0;
    to->error = 0;
    to->broken = false;
    memset(to->hashes, 0, sizeof to->hashes);
}

/* Takes packet `at` of the table: keeps it, or writes it and what must go before it. */
void seikan_coalesce(struct seikan_coalescer *to, uint32_t at, uint8_t *packet, uint32_t length);

/* Writes all that waits. */
void seikan_coalesce_finish(struct seikan_coalescer *to);

#endif
