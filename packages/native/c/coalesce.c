#include "coalesce.h"

#include "checksum.h"
#include "superpacket.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>

/* Of Linux 6.2; Debian 12's headers are older. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define DF 0x4000
#define FIN 0x01
#define PSH 0x08
#define ACK 0x10
#define ECE 0x40
#define TCP_FLAGS 13

/* What a look at a packet's headers says of it. */
struct sight {
    enum { OTHER, HIDDEN, SINGLE, MERGEABLE } what; /* HIDDEN: of a flow that cannot be seen; SINGLE: of one, not to be merged */
    uint32_t transport, header_size;
    uint64_t hash;
    bool tcp, six;
};

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t load64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static struct sight look(const uint8_t *packet, uint32_t length)
{
    struct sight sight = { .what = OTHER };
    uint32_t ports;
    uint8_t protocol;

    if (length < 20) return sight;
    if (packet[0] >> 4 == 4) {
        protocol = packet[9];
        if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return sight;
        if (packet[0] != 0x45 || (seikan_get16(packet + 6) & (uint16_t)~DF) != 0 || seikan_get16(packet + 2) != length) {
            sight.what = HIDDEN;
            return sight;
        }
        sight.transport = 20;
        sight.hash = mix(protocol, load64(packet + 12));
    } else if (packet[0] >> 4 == 6 && length >= 40) {
        protocol = packet[6];
        if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) {
            /* An extension header may hide a flow's ports; the rest has none that we merge. */
            if (protocol != IPPROTO_ICMPV6 && protocol != IPPROTO_ESP && protocol != IPPROTO_GRE) sight.what = HIDDEN;
            return sight;
        }
        if (seikan_get16(packet + 4) + 40u != length) {
            sight.what = HIDDEN;
            return sight;
        }
        sight.six = true;
        sight.transport = 40;
        sight.hash = mix(mix(mix(mix(protocol, load64(packet + 8)), load64(packet + 16)), load64(packet + 24)), load64(packet + 32));
    } else
        return sight;
    sight.tcp = protocol == IPPROTO_TCP;
    if (length < sight.transport + (sight.tcp ? 20 : 8)) {
        sight.what = HIDDEN;
        return sight;
    }
    const uint8_t *transport = packet + sight.transport;
    memcpy(&ports, transport, 4);
    sight.hash = mix(sight.hash, ports) | 1;
    sight.header_size = sight.transport + (sight.tcp ? (transport[12] >> 4) * 4u : 8);
    sight.what = SINGLE;
    if (sight.tcp) {
        bool usual = (transport[TCP_FLAGS] & (uint8_t)~(ECE | PSH | FIN)) == ACK && (transport[12] & 0xf) == 0;
        if (usual && sight.header_size >= sight.transport + 20 && sight.header_size < length) sight.what = MERGEABLE;
    } else if (seikan_get16(transport + 4) + sight.transport == length && length > sight.header_size
        && (transport[6] | transport[7]) != 0)
        sight.what = MERGEABLE;
    return sight;
}

static bool checksums_right(const uint8_t *packet, uint32_t length, bool tcp, bool six, uint32_t transport)
{
    uint8_t protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
    if (!six && seikan_fold(seikan_sum(packet, 20)) != 0xffff) return false;
    uint64_t sum = six ? seikan_sum_pseudo6(packet, protocol) : seikan_sum_pseudo4(packet, protocol);
    sum += seikan_sum16(length - transport) + seikan_sum(packet + transport, length - transport);
    return seikan_fold(sum) == 0xffff;
}

static bool write_parts(struct seikan_coalescer *to, const struct iovec *parts, int count)
{
    to->writes++;
    for (;;) {
        if (writev(to->fd, parts, count) != -1) return true;
        if (errno == EINTR) continue;
        to->error = errno;
        if (errno == EBADFD || errno == EBADF) to->broken = true;
        return false;
    }
}

static void count_packet(struct seikan_coalescer *to, uint32_t at, bool accepted)
{
    if (accepted) to->accepted++;
    else {
        to->refused++;
        seikan_table_set(to->table, SEIKAN_VERDICT, at, SEIKAN_REFUSED);
    }
}

static void write_single(struct seikan_coalescer *to, uint32_t at, uint8_t *packet, uint32_t length, bool verified)
{
    struct virtio_net_hdr header = { .flags = verified ? VIRTIO_NET_HDR_F_DATA_VALID : 0 };
    struct iovec parts[2] = { { &header, SEIKAN_VIRTIO_HEADER }, { packet, length } };
    bool whole = to->header;
    count_packet(to, at, write_parts(to, whole ? parts : parts + 1, whole ? 2 : 1));
}

/* Makes the first packet's header the superpacket's. */
static void prepare(struct seikan_flow *flow, struct virtio_net_hdr *header)
{
    uint8_t *ip = flow->first, *transport = ip + flow->transport;
    uint32_t transport_size = flow->header_size - flow->transport + flow->payload;
    uint8_t protocol = flow->tcp ? IPPROTO_TCP : IPPROTO_UDP;

    *header = (struct virtio_net_hdr){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = !flow->tcp ? VIRTIO_NET_HDR_GSO_UDP_L4
            : flow->six        ? VIRTIO_NET_HDR_GSO_TCPV6
                               : VIRTIO_NET_HDR_GSO_TCPV4,
        .hdr_len = (uint16_t)flow->header_size,
        .gso_size = (uint16_t)(flow->length - flow->header_size),
        .csum_start = (uint16_t)flow->transport,
        .csum_offset = flow->tcp ? 16 : 6,
    };
    if (flow->six) seikan_put16(ip + 4, transport_size + flow->transport - 40);
    else {
        seikan_put16(ip + 2, flow->transport + transport_size);
        memset(ip + 10, 0, 2);
        uint16_t sum = (uint16_t)~seikan_fold(seikan_sum(ip, 20));
        memcpy(ip + 10, &sum, 2);
    }
    if (flow->tcp) transport[TCP_FLAGS] |= flow->flags;
    else seikan_put16(transport + 4, transport_size);
    uint64_t pseudo = flow->six ? seikan_sum_pseudo6(ip, protocol) : seikan_sum_pseudo4(ip, protocol);
    uint16_t partial = seikan_fold(pseudo + seikan_sum16(transport_size));
    memcpy(transport + header->csum_offset, &partial, 2);
}

static void flush(struct seikan_coalescer *to, uint32_t place)
{
    struct seikan_flow *flow = &to->flows[place];
    struct virtio_net_hdr header;
    uint32_t count = flow->count;

    to->hashes[place] = 0;
    if (count == 1) {
        write_single(to, flow->numbers[0], flow->first, flow->length, flow->verified);
        return;
    }
    prepare(flow, &header);
    flow->parts[0] = (struct iovec){ &header, SEIKAN_VIRTIO_HEADER };
    flow->parts[1] = (struct iovec){ flow->first, flow->length };
    bool accepted = write_parts(to, flow->parts, (int)count + 1);
    if (accepted) to->merged += count;
    for (uint32_t i = 0; i < count; i++) count_packet(to, flow->numbers[i], accepted);
}

/* The place of the flow with this hash, or SEIKAN_FLOWS. */
static uint32_t find(const struct seikan_coalescer *to, uint64_t hash)
{
    uint32_t place = 0;
    while (place < SEIKAN_FLOWS && to->hashes[place] != hash) place++;
    return place;
}

/* A flow's hash is not its name: addresses and ports are compared too. */
static bool headers_agree(const struct seikan_flow *flow, const uint8_t *packet, uint32_t count)
{
    const uint8_t *first = flow->first;
    if (flow->six) return memcmp(first, packet, 4) == 0 && memcmp(first + 6, packet + 6, 34) == 0;
    if (first[1] != packet[1] || memcmp(first + 6, packet + 6, 4) != 0 || memcmp(first + 12, packet + 12, 8) != 0)
        return false;
    uint16_t id = seikan_get16(packet + 4), first_id = seikan_get16(first + 4);
    bool counts = id == (uint16_t)(first_id + count), same = id == first_id && (seikan_get16(packet + 6) & DF) != 0;
    return count == 1 ? counts || same : flow->fixed_id ? same : counts;
}

static bool may_join(const struct seikan_flow *flow, const uint8_t *packet, uint32_t length, const struct sight *sight)
{
    uint32_t size = length - sight->header_size;
    const uint8_t *first = flow->first + flow->transport, *transport = packet + sight->transport;

    if (flow->closed || flow->tcp != sight->tcp || flow->six != sight->six || flow->header_size != sight->header_size
        || size > flow->length - flow->header_size || flow->count == (flow->tcp ? SEIKAN_MERGE_TCP : SEIKAN_MERGE_UDP)
        || flow->header_size + flow->payload + size > 0xffff || !headers_agree(flow, packet, flow->count)
        || memcmp(first, transport, 4) != 0)
        return false;
    if (!flow->tcp) return true;
    return seikan_get32(transport + 4) == flow->sequence && memcmp(first + 8, transport + 8, 5) == 0
        && ((first[TCP_FLAGS] ^ transport[TCP_FLAGS]) & ECE) == 0 && memcmp(first + 14, transport + 14, 2) == 0
        && memcmp(first + 18, transport + 18, flow->header_size - flow->transport - 18) == 0;
}

static void join(struct seikan_flow *flow, uint32_t at, uint8_t *packet, uint32_t length)
{
    uint32_t size = length - flow->header_size;
    if (flow->count == 1 && !flow->six) flow->fixed_id = memcmp(flow->first + 4, packet + 4, 2) == 0;
    flow->parts[flow->count + 1] = (struct iovec){ packet + flow->header_size, size };
    flow->numbers[flow->count++] = at;
    flow->payload += size;
    flow->sequence += size;
    if (flow->tcp) flow->flags = packet[flow->transport + TCP_FLAGS] & (PSH | FIN);
    flow->closed = size < flow->length - flow->header_size || flow->flags != 0;
}

static void begin(struct seikan_coalescer *to, uint32_t at, uint8_t *packet, uint32_t length, const struct sight *sight)
{
    uint32_t place = find(to, 0);
    if (place == SEIKAN_FLOWS) {
        place = to->oldest++ % SEIKAN_FLOWS;
        flush(to, place);
    }
    struct seikan_flow *flow = &to->flows[place];
    to->hashes[place] = sight->hash;
    flow->first = packet;
    flow->count = 1;
    flow->length = length;
    flow->header_size = sight->header_size;
    flow->transport = sight->transport;
    flow->payload = length - sight->header_size;
    flow->tcp = sight->tcp;
    flow->six = sight->six;
    flow->fixed_id = false;
    flow->verified = false;
    flow->flags = 0;
    flow->closed = false;
    if (flow->tcp) {
        flow->sequence = seikan_get32(packet + flow->transport + 4) + flow->payload;
        flow->closed = (packet[flow->transport + TCP_FLAGS] & (PSH | FIN)) != 0;
    }
    flow->numbers[0] = at;
}

void seikan_coalesce(struct seikan_coalescer *to, uint32_t at, uint8_t *packet, uint32_t length)
{
    if (to->broken) {
        count_packet(to, at, false);
        return;
    }
    if (!to->tcp) {
        write_single(to, at, packet, length, false);
        return;
    }
    struct sight sight = look(packet, length);
    if (sight.what == MERGEABLE && !sight.tcp && !to->udp) sight.what = OTHER;
    if (sight.what == HIDDEN) seikan_coalesce_finish(to);
    if (sight.what == HIDDEN || sight.what == OTHER) {
        write_single(to, at, packet, length, false);
        return;
    }
    uint32_t place = find(to, sight.hash);
    if (place < SEIKAN_FLOWS) {
        struct seikan_flow *flow = &to->flows[place];
        if (sight.what == MERGEABLE && may_join(flow, packet, length, &sight)) {
            /* A packet alone is left to the kernel to check: most are never joined. */
            if (!flow->verified)
                flow->verified = checksums_right(flow->first, flow->length, flow->tcp, flow->six, flow->transport);
            if (flow->verified && checksums_right(packet, length, sight.tcp, sight.six, sight.transport)) {
                join(flow, at, packet, length);
                return;
            }
        }
        flush(to, place);
    }
    if (sight.what == MERGEABLE) begin(to, at, packet, length, &sight);
    else write_single(to, at, packet, length, false);
}

void seikan_coalesce_finish(struct seikan_coalescer *to)
{
    for (uint32_t place = 0; place < SEIKAN_FLOWS; place++)
        if (to->hashes[place] != 0) flush(to, place);
}
