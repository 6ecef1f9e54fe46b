/*
 * Superpackets: one IP and TCP or UDP header before up to 64 KiB of payload, which the kernel leaves for us to cut
 * (struct virtio_net_hdr, Documentation/networking/tuntap.rst; virtio 1.2, 5.1.6.2). Each segment gets the header again, with
 * its own lengths, IP id, sequence number, flags and checksums, as the kernel's own segmentation gives them
 * (net/ipv4/tcp_offload.c, tcp_gso_segment; net/ipv4/udp_offload.c, __udp_gso_segment).
 */
#ifndef SEIKAN_SUPERPACKET_H
#define SEIKAN_SUPERPACKET_H

#include "packet-table.h"

/* What src/packet-table.ts calls PacketKind. */
enum seikan_kind { SEIKAN_PLAIN, SEIKAN_TCP4, SEIKAN_TCP6, SEIKAN_UDP4, SEIKAN_UDP6, SEIKAN_BAD };

/* struct virtio_net_hdr, without what a later kernel's headers may add. */
#define SEIKAN_VIRTIO_HEADER 10
/* The longest headers that a segment repeats. */
#define SEIKAN_MOST_HEADER 256
/* More segments than 64 KiB of the smallest TCP payload (TCP_MIN_SND_MSS, 48) make. */
#define SEIKAN_MOST_SEGMENTS 1536

struct seikan_superpacket {
    uint32_t length, header_size, transport, segment_size, segments;
    bool tcp, six;
    /* Without lengths, id, sequence number and checksums. */
    uint8_t header[SEIKAN_MOST_HEADER];
    /* Sums of the IP header, and of the pseudo and transport headers, without what differs between segments. */
    uint64_t ip_sum, transport_sum;
    uint32_t sequence;
    uint16_t id;
    uint8_t flags;
};

/*
 * Reads the virtio header before a packet that a tun gave, completes the checksum of a plain one, and fills the table's
 * columns up to SEIKAN_TRANSPORT for packet `at`, whose offset and length are those given.
 */
void seikan_superpacket_arrive(const struct seikan_table *table, uint32_t at, uint32_t offset, uint32_t length);

/* Opens packet `at` of the table for cutting: false when it is no sound superpacket. Its bytes are read once. */
bool seikan_superpacket_open(
    struct seikan_superpacket *super, const struct seikan_table *table, uint32_t at, const uint8_t *packet, uint32_t length);

/* Payload bytes of segment `i`; they begin at header_size + i * segment_size of the superpacket. */
static inline uint32_t seikan_superpacket_payload(const struct seikan_superpacket *super, uint32_t i)
{
    return i + 1 < super->segments ? super->segment_size
                                   : super->length - super->header_size - i * super->segment_size;
}

/* Writes the header of segment `i`, header_size bytes, before or away from its payload of `size` bytes. */
void seikan_superpacket_header(
    const struct seikan_superpacket *super, uint32_t i, const uint8_t *payload, uint32_t size, uint8_t *into);

#endif
